// What part of the picture is seen, and how large: wheel with Ctrl, two fingers, buttons, keys.

const View = (() => {
  const LEAST = 0.02;
  const MOST = 3;
  const READABLE = 0.62; // a picture that fits only when smaller is fitted to its width
  const MARGIN = 12;
  const NEAR = 60; // of the first box's middle: what of it must be seen
  const canvas = byId("picture");
  const scene = byId("scene");
  const at = { x: 0, y: 0, scale: 1 };
  let size = { width: 1, height: 1, first: 0 }; // of the whole picture; where its first box is
  let redraw = () => {};
  const redrawSoon = oncePerFrame(() => redraw());

  const room = () => ({ width: canvas.clientWidth || 800, height: canvas.clientHeight || 500 });

  function apply() {
    scene.setAttribute("transform", `translate(${at.x} ${at.y}) scale(${at.scale})`);
    canvas.classList.toggle("small", at.scale < 0.5);
    canvas.classList.toggle("tiny", at.scale < 0.28);
    redrawSoon();
  }

  // At least some of the picture stays in view.
  function move(x, y) {
    const { width, height } = room();
    const keep = 60;
    at.x = Math.min(width - keep, Math.max(keep - size.width * at.scale, x));
    at.y = Math.min(height - keep, Math.max(keep - size.height * at.scale, y));
    apply();
  }

  function zoom(factor, x = room().width / 2, y = room().height / 2) {
    const scale = Math.min(MOST, Math.max(LEAST, at.scale * factor));
    const ratio = scale / at.scale;
    at.scale = scale;
    move(x - (x - at.x) * ratio, y - (y - at.y) * ratio);
  }

  // All of it; where that would be too small to read, its width, from the top; on a phone, what is
  // around the first box.
  function fit(whole = false) {
    const { width, height } = room();
    const across = (width - 2 * MARGIN) / size.width;
    const both = Math.min(across, (height - 2 * MARGIN) / size.height, 1.15);
    const scale = whole || matchMedia("print").matches || both >= READABLE ? both : Math.min(1, Math.max(across, READABLE));
    at.scale = Math.max(LEAST, scale);
    const left = (width - size.width * at.scale) / 2;
    const isFirstSeen = (size.first + NEAR) * at.scale < width;
    const first = isFirstSeen ? MARGIN : Math.max(2 * left - MARGIN, width / 2 - size.first * at.scale);
    move(left < MARGIN ? first : left, Math.max(MARGIN, (height - size.height * at.scale) / 2));
  }

  // Brings a box into view where it is not, and where it is to be read to a size that can be.
  function reveal(box, isRead = false) {
    const { width, height } = room();
    if (at.scale < READABLE && isRead) zoom(0.85 / at.scale);
    const [tall, wide] = [Math.min(box.height, 60), Math.min(box.width, 230)];
    const x = at.x + box.left * at.scale;
    const y = at.y + box.top * at.scale;
    const isSeen = x >= 0 && y >= 0 && x + wide * at.scale <= width && y + tall * at.scale <= height;
    if (isSeen) return;
    move(width / 2 - (box.left + wide / 2) * at.scale, height / 2 - (box.top + tall / 2) * at.scale);
  }

  // In the picture's own coordinates.
  function seen() {
    const { width, height } = room();
    return {
      left: -at.x / at.scale, top: -at.y / at.scale,
      right: (width - at.x) / at.scale, bottom: (height - at.y) / at.scale, scale: at.scale,
    };
  }

  // Another width asks for another fit; a scroll bar that comes or goes does not.
  let across = 0;
  new ResizeObserver(oncePerFrame(() => {
    const { width } = room();
    if ((across && Math.abs(width - across) > 40) || matchMedia("print").matches) fit();
    across = width;
  })).observe(canvas);

  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // a plain wheel scrolls the page
    event.preventDefault();
    const rect = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * 0.0022), event.clientX - rect.left, event.clientY - rect.top);
  }, { passive: false });

  const fingers = new Map();
  let dragged = 0;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    if (!fingers.size) dragged = 0;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  window.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, found]) => found);
    if (others.length) pinch(others[0], before, now);
    else drag(before, now);
    fingers.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    window.addEventListener(end, (event) => {
      fingers.delete(event.pointerId);
      canvas.classList.remove("dragging");
    });
  }

  function drag(before, now) {
    dragged += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
    if (dragged > 4) canvas.classList.add("dragging");
    move(at.x + now.x - before.x, at.y + now.y - before.y);
  }

  function pinch(other, before, now) {
    dragged += 10;
    const apart = (one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
    const rect = canvas.getBoundingClientRect();
    zoom(apart(now) / apart(before), (now.x + other.x) / 2 - rect.left, (now.y + other.y) / 2 - rect.top);
  }

  return {
    at, fit, reveal, seen, zoom,
    move: (dx, dy) => move(at.x + dx, at.y + dy),
    draws: (work) => (redraw = work),
    hold: (whole) => (size = whole),
    wasDragged: () => dragged > 4,
  };
})();
