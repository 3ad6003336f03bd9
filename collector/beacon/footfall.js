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
 * - Nothing is stored but the opt-out, at the person's own wish, a constant; and, with data-loyalty and after consent,
 *   the day of the last visit, which is never sent and goes with any refusal. There is no identifier.
 * - Of an error the name of its kind is told, never its message, and of a slow page a class, never a time.
 * - No cookie and no referring address goes along with a request, and no fragment of any address.
 *
 * Attributes: data-site (else the page's host name), data-consent, data-policy (version of the policy consented to),
 * data-endpoint (else api/event beside the script; "withdraw" beside it is asked to delete), data-outbound,
 * data-downloads, data-404 (also on any other element, such as <meta data-404>), data-errors (the names of script
 * errors, and that something did not load), data-variant (the variants that this page shows: EXPERIMENT/VARIANT, several
 * with commas between; the page may also set footfall.variant), data-vitals (whether the page was fast, in classes), data-loyalty (whether
 * a visit is the first, or the first of its month, week or day; see collector/loyalty.py).
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
  // The page that the browser loaded, where its view was sent: what is slow belongs to this one.
  let visited = "";
  let engagedMs, isWatched, measuredAt, reachedPx, sentPercent;

  // What the collector refuses to keep it need not hear of; the collector checks all of it again.
  const isAllowed = () => {
    try {
      return granted && !hasRefused();
    } catch {
      // A sandboxed frame may not read cookies: then it is not known that nobody opted out.
      return false;
    }
  };

  const hasRefused = () => navigator.globalPrivacyControl || navigator.doNotTrack === "1" || hasOptedOut();

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
    const answer = post(endpoint, { ...fields, c: "1", v: attributes.policy, x: footfall.variant });
    answered = answered.then(() => answer);
    return true;
  };

  // 2,000 characters are within the collector's bound, and no address of a page for people is longer.
  const here = () => (location.origin + location.pathname + location.search).slice(0, 2000);

  const isLoyal = "loyalty" in attributes;
  const DAY = "footfall_day";
  const forget = () => {
    try {
      localStorage.removeItem(DAY);
    } catch {
      // A frame or a browser that keeps nothing.
    }
  };

  // Days since 1970, which began on a Thursday; weeks begin on Monday.
  const week = (day) => Math.floor((Date.parse(day) / 864e5 + 3) / 7);

  // What is told of earlier visits, by the calendar of the device; undefined where there was one today.
  const loyalty = () => {
    try {
      const now = new Date();
      const today = new Date(now - now.getTimezoneOffset() * 6e4).toISOString().slice(0, 10);
      const last = localStorage[DAY];
      localStorage[DAY] = today;
      if (!last) return "first";
      if (last.slice(0, 7) !== today.slice(0, 7)) return "month";
      return week(last) !== week(today) ? "week" : last !== today ? "day" : undefined;
    } catch {
      return undefined;
    }
  };

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
    const l = isLoyal && isAllowed() ? loyalty() : undefined;
    if (send({ n: "pageview", u: url, r: referrer, w: innerWidth, l })) {
      viewed = url;
      referrer = undefined;
      begin();
      if (!visited) {
        visited = url;
        if ("vitals" in attributes && !document.hidden) watchVitals();
      }
      errors.clear();
    }
  };

  // Errors told of the page that is shown: each name once, and no more than three.
  const errors = new Set();
  const broke = (name) => {
    // A name of somebody's making may hold anything; the collector knows these by a list of its own.
    const kind = /^[A-Z][A-Za-z]{1,30}Error$|^resource$|^Error$/.test(name) ? name : "other";
    if (viewed && errors.size < 3 && !errors.has(kind) && send({ n: "error", u: viewed, b: kind })) errors.add(kind);
  };

  // The web vitals, by the definitions and thresholds of https://web.dev/articles/vitals. What did not occur, and what a
  // browser cannot see, stays undefined and is not told.
  let lcp, cls, ttfb, interactions, unread;
  const watch = (type, look) => {
    if (!PerformanceObserver.supportedEntryTypes.includes(type)) return false;
    const observer = new PerformanceObserver((list) => list.getEntries().forEach(look));
    observer.observe({ type, buffered: true, durationThreshold: 40 });
    unread.push(() => observer.takeRecords().forEach(look));
    return true;
  };

  const watchVitals = () => {
    const [navigation] = performance.getEntriesByType("navigation");
    // A page that was prepared ahead of time began for its reader when it was shown.
    const began = navigation.activationStart || 0;
    unread = [];
    interactions = {};
    ttfb = navigation.responseStart - began;
    watch("largest-contentful-paint", (entry) => (lcp = entry.startTime - began));
    // The worst burst of shifts: 1 s at most between two of them, 5 s in all.
    let first, last, burst;
    const shifted = (entry) => {
      if (entry.hadRecentInput) return;
      const at = entry.startTime;
      if (!(at - last < 1000 && at - first < 5000)) {
        first = at;
        burst = 0;
      }
      last = at;
      cls = Math.max(cls, (burst += entry.value));
    };
    if (watch("layout-shift", shifted)) cls = 0;
    const interacted = ({ interactionId: id, duration }) => {
      if (id) interactions[id] = Math.max(interactions[id] || 0, duration);
    };
    watch("event", interacted);
    watch("first-input", interacted);
  };

  const rated = (value, good, poor) =>
    value <= good ? "good" : value <= poor ? "needs-improvement" : value > poor ? "poor" : undefined;

  // Once, when the page first goes out of sight: nothing is certain to run after that.
  const tellVitals = () => {
    if (!unread) return;
    unread.forEach((read) => read());
    unread = undefined;
    // The slowest interaction, but for one in each fifty.
    const durations = Object.values(interactions).sort((a, b) => b - a);
    const inp = durations[Math.min(durations.length - 1, Math.floor(performance.interactionCount / 50) || 0)];
    if (viewed) {
      send({
        n: "vitals",
        u: visited,
        b: {
          lcp: rated(lcp, 2500, 4000),
          inp: rated(inp, 200, 500),
          cls: rated(cls, 0.1, 0.25),
          ttfb: rated(ttfb, 800, 1800),
        },
      });
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
    forget();
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

  // Which variant of an experiment the page shows; a page may set it at any time, also on the stub.
  footfall.variant = stub.variant || attributes.variant;

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
  const hidden = () => {
    leave();
    tellVitals();
  };
  addEventListener("pagehide", hidden);
  document.addEventListener("visibilitychange", () => (document.hidden ? hidden() : measure()));
  addEventListener("focus", measure);
  addEventListener("blur", measure);
  addEventListener("scroll", scrolled, { passive: true });
  if ("errors" in attributes) {
    // What does not load says so to its element alone, so on the way there.
    addEventListener("error", (event) => broke(event.target === window ? event.error?.name : "resource"), true);
    addEventListener("unhandledrejection", (event) => broke(event.reason?.name));
  }
  document.addEventListener("click", clicked);
  document.addEventListener("auxclick", clicked);

  if (hasOptedOut()) keepOptOut(OPT_OUT_S);
  // Somebody may have refused elsewhere: on the collector's page, or in the browser.
  if (isLoyal && hasRefused()) forget();
  begin();
  // A banner that decided before this script was there left its answer with the stub.
  if ("granted" in stub) granted = stub.granted === true;
  whenShown(view);
  if (document.querySelector("[data-404]")) footfall("404");
  for (const call of stub.q || []) footfall(...call);
})();
