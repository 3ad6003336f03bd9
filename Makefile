# Everything runs in .venv, which the first command makes; `make clean` forgets it. PYTHON names another Python, 3.11 or newer.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
# A stamp lies inside .venv and is as old as what it stands for: the second run installs nothing.
SERVE := $(VENV)/.installed-serve
TEST := $(VENV)/.installed-test
DEV := $(VENV)/.installed-dev

.PHONY: serve test check format bench soak attack pictures coverage clean

serve: $(SERVE)
	$(VENV)/bin/footfall serve

test: $(TEST)
	@cat $(VENV)/not-installed
	$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: $(DEV)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(DEV)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(TEST)
	$(VENV)/bin/python -m tests.bench

soak: $(TEST)
	FOOTFALL_SOAK=1 $(VENV)/bin/python -m pytest -m soak --timeout=0

attack: $(TEST)
	$(VENV)/bin/python -m tests.attacks

# The pictures of README.md are what the tests in a browser look at; all of them are in .venv/pictures.
pictures: $(TEST)
	FOOTFALL_PICTURES=$(CURDIR)/$(VENV)/pictures $(VENV)/bin/python -m pytest tests/dashboards/test_pages_in_chromium.py -k readable_in_every_look
	cp $(VENV)/pictures/site-light.png $(VENV)/pictures/site-dark.png $(VENV)/pictures/waiting-light.png tests/pictures/

coverage: $(TEST)
	$(VENV)/bin/python -m pytest --cov --cov-report=term

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is missing or older than Python 3.11; install a newer one, or run: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "$(PYTHON) cannot make virtual environments; install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

$(SERVE): pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV)"
	@$(PIP) -e '.[serve]'
	@touch $@

# What the tests cannot do without has to install. What only some of them need may be missing (chDB has no wheel for
# every machine, pyfuse3 is compiled against libfuse3): it is named, and those tests are reported skipped.
$(TEST): pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the tests need into $(VENV)"
	@$(PIP) -e '.[dashboards,test]'
	@: > $(VENV)/not-installed
	@for extra in embedded data browser deploy power attack; do $(PIP) -e ".[$$extra]" || \
		echo "NOT INSTALLED: .[$$extra]; the tests that need it are skipped" >> $(VENV)/not-installed; done
	@command -v chromium google-chrome > /dev/null || \
		echo "NOT INSTALLED: chromium (Debian: apt install chromium); the tests in a browser are skipped" >> $(VENV)/not-installed
	@for proxy in nginx caddy; do command -v $$proxy /usr/sbin/$$proxy > /dev/null || \
		echo "NOT INSTALLED: $$proxy (Debian: apt install $$proxy); the tests behind it are skipped" >> $(VENV)/not-installed; done
	@command -v strace > /dev/null || \
		echo "NOT INSTALLED: strace (Debian: apt install strace); the tests under it are skipped" >> $(VENV)/not-installed
	@touch $@

$(DEV): pyproject.toml $(TEST)
	@$(PIP) -e '.[dev]'
	@touch $@
