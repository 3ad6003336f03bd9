/*
 * The shop's own script: the consent banner, the cart, and the list of teas that changes without loading a page.
 *
 * The banner, as a good one does it:
 * - Before an answer nothing is counted, and no answer is taken for one: the banner does not hide the page.
 * - Both answers are one click, equally large, equally near.
 * - Taking consent back is as easy as giving it (GDPR, Article 7(3)): one click in the footer of every page.
 * - The answer is kept in this browser's localStorage. That is the shop's doing, not Footfall's, which keeps nothing.
 */
(() => {
  const ANSWER = "slow-leaf-counting";
  const CART = "slow-leaf-cart";
  const byId = (id) => document.getElementById(id);
  // Where the beacon did not load (blocked, or its collector is down) the shop works all the same.
  const beacon = () => window.footfall || { consent() {}, optOut() {}, optIn() {} };
  const track = (name, props) => window.footfall && window.footfall(name, { props });

  // --- consent ---

  const answer = () => localStorage.getItem(ANSWER);
  const hasOptedOut = () => /(^|; )footfall_optout=1/.test(document.cookie);

  const apply = () => {
    const isGranted = answer() === "yes" && !hasOptedOut();
    beacon().consent(isGranted);
    byId("consent").hidden = answer() !== null || hasOptedOut();
    byId("state").textContent = hasOptedOut()
      ? "You are never counted here."
      : isGranted
        ? "Your visit is counted, with your consent."
        : "Your visit is not counted.";
    byId("withdraw").hidden = !isGranted;
    byId("ask-again").hidden = isGranted || hasOptedOut() || answer() === null;
    byId("opt-out").hidden = hasOptedOut();
    byId("opt-in").hidden = !hasOptedOut();
  };

  const keep = (given) => {
    if (given === null) localStorage.removeItem(ANSWER);
    else localStorage.setItem(ANSWER, given);
    apply();
  };

  byId("accept").addEventListener("click", () => keep("yes"));
  byId("refuse").addEventListener("click", () => keep("no"));
  byId("withdraw").addEventListener("click", () => keep("no"));
  byId("ask-again").addEventListener("click", () => {
    keep(null);
    byId("refuse").focus();
  });
  byId("opt-out").addEventListener("click", () => {
    beacon().optOut();
    keep("no");
  });
  byId("opt-in").addEventListener("click", () => {
    beacon().optIn();
    keep(null);
  });
  // The answer may have been changed in another tab, or on another page while this one lay in the browser's
  // back-forward cache: the beacon is told before it counts the page again.
  addEventListener("storage", apply);
  addEventListener("pageshow", apply);
  apply();

  // --- the cart ---

  const inCart = () => JSON.parse(sessionStorage.getItem(CART) || "[]");
  const showCart = () => {
    byId("in-cart").textContent = inCart().length ? ` (${inCart().length})` : "";
    const list = byId("cart");
    if (!list) return;
    for (const line of list.children) line.hidden = !inCart().includes(line.dataset.slug);
    byId("empty").hidden = inCart().length > 0;
    byId("buy").hidden = inCart().length === 0;
  };
  const add = byId("add");
  add?.addEventListener("click", () => {
    sessionStorage.setItem(CART, JSON.stringify([...new Set([...inCart(), add.dataset.slug])]));
    byId("added").textContent = "It is in your cart.";
    track("add to cart", { tea: add.dataset.tea });
    showCart();
  });
  byId("buy")?.addEventListener("click", () => {
    track("purchase", { items: inCart().length });
    sessionStorage.removeItem(CART);
    location.assign("/thanks");
  });
  byId("newsletter")?.addEventListener("submit", (event) => {
    event.preventDefault();
    track("newsletter");
    event.target.querySelector("[role=status]").textContent = "Thank you. Nothing was sent anywhere.";
  });
  showCart();

  // --- teas by kind, without loading a page: the beacon sees pushState and going back ---

  const kinds = byId("kinds");
  const showKind = () => {
    const kind = location.pathname.split("/")[2] || "";
    for (const tab of kinds.children) {
      if (tab.dataset.kind === kind) tab.setAttribute("aria-current", "true");
      else tab.removeAttribute("aria-current");
    }
    for (const card of byId("teas").children) card.hidden = kind !== "" && card.dataset.kind !== kind;
  };
  kinds?.addEventListener("click", (event) => {
    const tab = event.target.closest("a");
    if (!tab || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", tab.href);
    showKind();
  });
  if (kinds) addEventListener("popstate", showKind);
})();
