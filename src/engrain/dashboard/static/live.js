// Keeps what goes on in view: while the page holds anything marked `data-going`, it is asked for again and its `data-live` parts are put in place.
// Nothing else on the page changes, a part that has the focus is left alone, and without this script the reader reloads.
(() => {
  "use strict";
  const EVERY_MS = 3000;

  async function look() {
    if (!document.querySelector("[data-going]")) return;
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { "x-engrain-live": "1" }, credentials: "same-origin" });
        if (answer.redirected) return location.reload(); // the session is over
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of document.querySelectorAll("[data-live]")) {
          const now = page.getElementById(part.id);
          if (now && now.innerHTML !== part.innerHTML && !part.contains(document.activeElement)) {
            part.replaceChildren(...now.childNodes);
          }
        }
      } catch {
        // the service is away for a moment; the next look is soon enough
      }
    }
    setTimeout(look, EVERY_MS);
  }

  setTimeout(look, EVERY_MS);
})();
