/*
 * The beacon: says that a page was seen, to the collector that this script came from.
 *
 *   <script defer src="https://collector.example/beacon.js" data-site="example.com"></script>
 *
 * Promises, each with a test in tests/collector/test_beacon.py:
 * - Before consent nothing is sent. Consent is data-consent="granted" (a page that loads this only after consent) or
 *   footfall.consent(true). Only the value true grants.
 * - Taking consent back, by footfall.consent(false) or footfall.optOut(), asks the collector to delete what it has of
 *   this visitor today.
 * - Global Privacy Control, Do Not Track and the opt-out each end it, whatever was consented to; they are looked at
 *   before every single request.
 * - Nothing is stored but the opt-out, at the person's own wish, and it is a constant. There is no identifier.
 * - No cookie and no referring address goes along with a request, and no fragment of any address.
 *
 * Attributes: data-site (else the page's host name), data-consent, data-policy (version of the policy consented to),
 * data-endpoint (else api/event beside the script; "withdraw" beside it is asked to delete), data-outbound, data-downloads, data-404 (also on any other element,
 * such as <meta data-404>).
 *
 * This file is the source; `python -m collector.beacon.build` makes footfall.min.js of it, which is what is served.
 */
(() => {
  const stub = window.footfall || {};
  // Included twice, or evaluated again by a page that swaps its body: a page is seen once.
  if (stub.version) return;

  const script = document.currentScript;
  const attributes = script.dataset;
  // Beside the script, so that a proxy may put both under a path of its own.
  const endpoint = new URL(attributes.endpoint || new URL("api/event", script.src), location.href);
  const site = attributes.site || location.hostname;

  let granted = attributes.consent === "granted";
  // Where the visit came from: told once per page load. Its query is nobody's business.
  let referrer = document.referrer.split(/[?#]/)[0] || undefined;
  // The page whose view was sent: "" where none was, so that nothing is told of it either.
  let viewed = "";
  let engagedMs, isWatched, measuredAt, reachedPx, sentPercent;

  // What the collector refuses to keep it need not hear of; the collector checks all of it again.
  const isAllowed = () => {
    try {
      return granted && !navigator.globalPrivacyControl && navigator.doNotTrack !== "1" && !hasOptedOut();
    } catch {
      // A sandboxed frame may not read cookies: then it is not known that nobody opted out.
      return false;
    }
  };

  // Any value but 0 counts, as at the collector.
  const hasOptedOut = () => /(^|; )footfall_optout(?!=0)/.test(document.cookie);

  // 400 days is the longest that browsers keep a cookie (RFC 6265bis), and every page load begins it anew: an objection
  // does not lapse. Once for this host and once for the whole site, as one may be refused; the value is the same for all.
  const keepOptOut = (ageS) => {
    for (const scope of ["", ";domain=" + site]) {
      document.cookie = "footfall_optout=1;path=/;samesite=lax;max-age=" + ageS + scope;
    }
  };
  const OPT_OUT_S = 34560000;

  // fetch and not sendBeacon, which takes the collector's cookies along, and with them those of a site that shares its
  // domain. A string as body is text/plain, so browsers ask no preflight; keepalive outlives the page (Chromium 66,
  // Safari 13, Firefox 133; older Firefox may lose what is sent while a page closes).
  const post = (url, fields) =>
    fetch(url, {
      method: "POST",
      body: JSON.stringify({ ...fields, d: site }),
      keepalive: true,
      credentials: "omit",
      referrerPolicy: "no-referrer",
    }).catch(() => {});

  // Fulfilled when everything sent so far has been answered.
  let answered = Promise.resolve();

  // Whether it was sent.
  const send = (fields) => {
    if (!isAllowed()) return false;
    const answer = post(endpoint, { ...fields, c: "1", v: attributes.policy });
    answered = answered.then(() => answer);
    return true;
  };

  // 2,000 characters are within the collector's bound, and no address of a page for people is longer.
  const here = () => (location.origin + location.pathname + location.search).slice(0, 2000);

  // Adds the time that the page was in front of somebody's eyes: visible, and its window the one in use.
  const measure = () => {
    const now = performance.now();
    if (isWatched) engagedMs += now - measuredAt;
    measuredAt = now;
    isWatched = !document.hidden && document.hasFocus();
  };

  const scrolled = () => {
    reachedPx = Math.max(reachedPx, scrollY + innerHeight);
  };

  const begin = () => {
    measure();
    engagedMs = reachedPx = sentPercent = 0;
  };

  // How long the page was looked at since this was last told, and which quarter of it was reached. The height is that of
  // the end: a page that was still loading is not one that was read to its end.
  const leave = () => {
    measure();
    scrolled();
    const percent = Math.min(4, Math.ceil((4 * reachedPx) / document.documentElement.scrollHeight)) * 25;
    if (viewed && (engagedMs >= 3000 || percent > sentPercent)) {
      send({ n: "engagement", u: viewed, e: Math.round(engagedMs), sd: percent });
      engagedMs = 0;
      sentPercent = percent;
    }
  };

  // Tells of the page that is shown, unless that was done. Called whenever the address may have changed; what changes
  // only the fragment is the same page.
  const view = () => {
    const url = here();
    if (url === viewed) return;
    leave();
    viewed = "";
    if (send({ n: "pageview", u: url, r: referrer, w: innerWidth })) {
      viewed = url;
      referrer = undefined;
      begin();
    }
  };

  // A page that the browser loads ahead of time has been seen by nobody yet.
  const whenShown = (act) =>
    document.prerendering ? document.addEventListener("prerenderingchange", act, { once: true }) : act();

  const footfall = (name, options) =>
    whenShown(() => {
      send({ n: name, u: here(), p: options && options.props });
    });

  // Stops everything at once, and has deleted what was sent: after the last answer, so that nothing comes in behind it.
  // Who never consented has nothing to be deleted, and sends nothing.
  const withdraw = () => {
    if (isAllowed()) answered.then(() => post(new URL("withdraw", endpoint)));
    granted = false;
    viewed = "";
  };

  footfall.consent = (given) => {
    // What was looked at without consent is not counted afterwards.
    if (granted !== (given === true)) begin();
    if (given !== true) return withdraw();
    granted = true;
    whenShown(view);
  };

  footfall.optOut = () => {
    withdraw();
    keepOptOut(OPT_OUT_S);
  };

  // Takes the opt-out back; it grants nothing.
  footfall.optIn = () => keepOptOut(0);

  footfall.version = "1";
  window.footfall = footfall;

  const DOWNLOADS =
    /\.(pdf|xlsx?|docx?|pptx?|od[tsp]|csv|txt|rtf|epub|zip|rar|7z|t?gz|xz|dmg|pkg|exe|msi|deb|rpm|apk|iso|mp[34]|mov|avi|mkv|wav)$/i;

  const clicked = (event) => {
    const link = event.target.closest("a[href]");
    // The right button opens a menu; mailto: and the like have no host.
    if (!link || !link.host || event.button > 1) return;
    const props = { url: link.host + link.pathname };
    if ("downloads" in attributes && (link.hasAttribute("download") || DOWNLOADS.test(link.pathname))) {
      footfall("File Download", { props });
    } else if ("outbound" in attributes && link.host !== location.host) {
      footfall("Outbound Link: Click", { props });
    }
  };

  // Nothing here may throw: it runs inside the page's own navigation.
  for (const method of ["pushState", "replaceState"]) {
    const original = history[method];
    history[method] = function () {
      original.apply(this, arguments);
      whenShown(view);
    };
  }
  addEventListener("popstate", view);
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    // Back from the back-forward cache. First the page's own listeners: consent may have been withdrawn elsewhere.
    setTimeout(() => {
      viewed = "";
      view();
    });
  });
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => (document.hidden ? leave() : measure()));
  addEventListener("focus", measure);
  addEventListener("blur", measure);
  addEventListener("scroll", scrolled, { passive: true });
  document.addEventListener("click", clicked);
  document.addEventListener("auxclick", clicked);

  if (hasOptedOut()) keepOptOut(OPT_OUT_S);
  begin();
  // A banner that decided before this script was there left its answer with the stub.
  if ("granted" in stub) granted = stub.granted === true;
  whenShown(view);
  if (document.querySelector("[data-404]")) footfall("404");
  for (const call of stub.q || []) footfall(...call);
})();
