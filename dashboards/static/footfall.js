/* Pages work without this: it only asks again so that nobody has to, and copies text. */
"use strict";

const POLL_MS = 400;
const REFRESH_MS = 20000;

/** Waits for a site's first event: loads the page anew as soon as there is something else to say. */
function watch(waiting) {
  const ask = async () => {
    try {
      const answer = await fetch(waiting.dataset.poll, { cache: "no-store" });
      if (answer.status === 401 || answer.status === 403) return location.reload();
      const told = await answer.json();
      if (answer.ok && (!told.waiting || told.mark !== waiting.dataset.mark)) return location.reload();
    } catch {
      // The service restarts, or the network is away: ask again.
    }
    setTimeout(ask, POLL_MS);
  };
  setTimeout(ask, POLL_MS);
}

/** Keeps the numbers of today current while somebody looks at them. */
function refresh() {
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("today");
      if (fresh) document.getElementById("today").replaceWith(fresh);
    } catch {
      // As above.
    }
  }, REFRESH_MS);
}

function offerCopy(button) {
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1500);
  });
}

const waiting = document.getElementById("waiting");
if (waiting) watch(waiting);
if (document.getElementById("today")) refresh();
document.querySelectorAll("button[data-copy]").forEach(offerCopy);
