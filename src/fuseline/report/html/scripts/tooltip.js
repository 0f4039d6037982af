// One tooltip for the whole page: on hover and on focus; Escape hides it.

const Tooltip = (() => {
  const box = byId("tooltip");
  const AWAY = 14;
  let beside = null;

  // Shows a title, lines of plain text, and pairs of a name and a text, beside a place on screen.
  // It goes with `anchor` where the page scrolls; without one it is hidden.
  function show({ title, under, pairs = [], lines = [] }, rect, anchor = null) {
    beside = anchor;
    const list = el("dl", {}, ...pairs.flatMap(([name, text]) => [
      el("dt", {}, name),
      el("dd", {}, el("bdi", {}, shortened(String(text), 220))),
    ]));
    box.replaceChildren(
      el("strong", {}, el("bdi", {}, shortened(title, 160))),
      ...(under ? [el("div", { class: "under" }, el("bdi", {}, shortened(under, 200)))] : []),
      list,
      ...lines.map((line) => el("div", { class: "line" }, el("bdi", {}, shortened(line, 160)))),
    );
    box.hidden = false;
    put(rect);
  }

  // To the right of it, or to the left, or wherever there is room.
  function put(rect) {
    const { width, height } = box.getBoundingClientRect();
    let left = rect.right + AWAY;
    if (left + width > innerWidth - 8) left = rect.left - width - AWAY;
    if (left < 8) left = Math.max(8, Math.min(rect.left, innerWidth - width - 8));
    const top = Math.max(8, Math.min(rect.top, innerHeight - height - 8));
    box.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  function hide() {
    box.hidden = true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("scroll", () => {
    if (beside?.isConnected && !box.hidden) put(beside.getBoundingClientRect());
    else hide();
  }, { passive: true });

  const around = (event) => ({
    left: event.clientX, right: event.clientX, top: event.clientY + AWAY, bottom: event.clientY,
  });

  return { around, hide, show };
})();
