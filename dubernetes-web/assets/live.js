// Replaces the content of the page by its newest version when the server says that it changed.
"use strict";
(() => {
  const banner = document.getElementById("away");
  const said = document.getElementById("said");
  const main = () => document.getElementById("main");
  let stale = false;
  let busy = false;

  function warn(text) {
    if (banner.textContent === text) return;
    banner.textContent = text;
    banner.hidden = !text;
  }

  // What a person is about to use or copy stays as it is.
  function held() {
    const active = document.activeElement;
    const selection = document.getSelection();
    return (active && active.matches("#main input, #main select")) ||
      (selection && !selection.isCollapsed && main().contains(selection.anchorNode));
  }

  async function refresh() {
    if (!stale || busy || held()) return;
    [stale, busy] = [false, true];
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.getElementById("main");
      if (next && !held()) replace(next, page.title);
    } catch {
      stale = true;
    }
    busy = false;
  }

  function replace(next, title) {
    const old = main();
    const active = document.activeElement;
    const path = active && old.contains(active) && active.getAttribute("href");
    const lines = document.getElementById("lines");
    const atEnd = lines && lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 8;
    const open = [...old.querySelectorAll("details[open][id]")].map((item) => item.id);
    const heading = old.querySelector("h1").textContent;
    old.replaceWith(document.adoptNode(next));
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (path) main().querySelector(`[href="${CSS.escape(path)}"]`)?.focus({ preventScroll: true });
    if (atEnd) end();
    document.title = title;
    const now = main().querySelector("h1").textContent;
    if (now !== heading) said.textContent = now;
  }

  function end() {
    const lines = document.getElementById("lines");
    if (lines) lines.scrollTop = lines.scrollHeight;
  }

  end();
  const path = main().dataset.live;
  if (!path) return;
  const source = new EventSource(path);
  source.addEventListener("change", () => { warn(""); stale = true; refresh(); });
  source.addEventListener("away", () => warn("The orchestrator does not answer. This page is old."));
  source.addEventListener("error", () => warn("`dubernetes ui` does not answer. This page is old."));
  setInterval(refresh, 1000);
  setInterval(() => { stale = true; }, 30000);
})();
