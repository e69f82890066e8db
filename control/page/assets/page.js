// Takes what the daemon sends for what has changed, and says so when it sends nothing any more.
"use strict";
(function () {
  const main = document.getElementById("main");
  const stale = document.getElementById("stale");
  let heard = Date.now();
  let source;

  function ago(ms) {
    const s = Math.max(0, Math.round(ms / 1000));
    if (s < 120) return s + " s ago";
    if (s < 7200) return Math.round(s / 60) + " min ago";
    if (s < 172800) return Math.round(s / 3600) + " h ago";
    return Math.round(s / 86400) + " days ago";
  }
  // The daemon's clock may differ from this one's: times are compared with what it sends.
  let skew = heard - Date.parse(main.dataset.at);
  function times() {
    for (const t of document.querySelectorAll("time.ago")) {
      t.textContent = ago(Date.now() - skew - Date.parse(t.dateTime));
      t.title = t.dateTime;
    }
  }
  function open() {
    source = new EventSource("live");
    source.addEventListener("main", function (e) {
      main.innerHTML = e.data;
      times();
    });
    source.addEventListener("beat", function (e) {
      const beat = JSON.parse(e.data);
      heard = Date.now();
      stale.hidden = true;
      skew = heard - Date.parse(beat.at);
      document.title = beat.title;
      const now = document.getElementById("now");
      now.dateTime = beat.at;
      now.textContent = beat.at.slice(11, 19);
    });
  }
  setInterval(function () {
    times();
    const silent = Date.now() - heard;
    stale.hidden = silent < 4000;
    document.body.classList.toggle("old", !stale.hidden);
    document.getElementById("heard").textContent = new Date(heard).toISOString().slice(11, 19) + " UTC (" + ago(silent) + ")";
    // A stream that was refused is not tried again by the browser.
    if (source.readyState === EventSource.CLOSED && silent % 5000 < 1000) open();
  }, 1000);
  open();
})();
