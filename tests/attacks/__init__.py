"""The attacks on Footfall, as a program: `python -m tests.attacks`.

Each module `pNN_*` plays the attacker of one promise: it has everything that is retained and all outputs, and says how
often it succeeded (`verdict.Verdict`). Each attack also runs against a build that was weakened on purpose and has to
succeed there, or it proves nothing. The map, in the order in which an attack uses it:

- `weakened`: the product, and its weakened copies, each a program of its own (`worker`).
- `laboratory`: a real store, sites sealed in it by such a build, and what readers then see.
- `crowds`: simulated sites from 3 to 500,000 visitors a day, made in numpy. `oracle`: the truth about them, counted
  without any of the product's SQL. (`tests/aggregator/simulate.py` is the older oracle, in plain Python; a test holds
  the two together.)
- `nested`: goals and a funnel that these sites declare, and which group holds which.
- `system`: what an attacker can write down about a sealed day, as linear inequalities; `p06_subtraction` solves them.
  `p06_live_history` has the open day's whole history before it.
- `p03_linking_back` to `p14_egress`, and `held_by_tests` for the promises whose attack is a test elsewhere.
- `peers`: the same attacks on small models of what others retain. `usefulness`: what the promises cost.
- `verdict`: the table. `__main__`: the program, exit status 1 where a promise does not hold.
"""
