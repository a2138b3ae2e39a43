"use strict";
// Turns point clouds with the mouse, a finger, the wheel or two fingers. Painter's algorithm on a
// 2-D canvas: a few thousand points need no more.
(function () {
  const data = JSON.parse(document.getElementById("cloud-data").textContent);
  const canvas = document.getElementById("cloud");
  const note = document.getElementById("cloud-note");
  const menu = document.getElementById("cloud-menu");
  if (!canvas || !data.length) return;
  const pen = canvas.getContext("2d");
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  let cloud, order, yaw, pitch, zoom, touched = still, drawn = false, began = performance.now();

  function choose(index) {
    cloud = data[index];
    order = new Uint32Array(cloud.points.length / 3).map((_, i) => i);
    yaw = 0; pitch = 0; zoom = 1; drawn = false; began = performance.now();
    note.textContent = cloud.note;
    for (const [i, button] of [...menu.children].entries()) {
      button.setAttribute("aria-pressed", i === index);
    }
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const w = canvas.clientWidth, h = canvas.clientHeight;
    const across = Math.round(w * ratio), down = Math.round(h * ratio);
    if (canvas.width !== across || canvas.height !== down) {
      canvas.width = across; canvas.height = down;
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.fillStyle = "#14161a";
    pen.fillRect(0, 0, w, h);
    const p = cloud.points, c = cloud.colors, n = order.length, pivot = cloud.pivot;
    // The picture as the camera saw it fits into the canvas at zoom 1.
    const focal = Math.min(w, h / cloud.aspect) / 2 / Math.tan(cloud.fov * Math.PI / 360) * 0.85;
    const cy = Math.cos(yaw), sy = Math.sin(yaw), cp = Math.cos(pitch), sp = Math.sin(pitch);
    const back = pivot * (1 / zoom - 1);  // how far the eye steps back from the camera
    const at = new Float32Array(n * 3);
    for (let i = 0; i < n; i++) {
      const x = p[3 * i], y = p[3 * i + 1], z = p[3 * i + 2] + pivot;
      const x1 = cy * x + sy * z, z1 = cy * z - sy * x;
      at[3 * i] = x1; at[3 * i + 1] = cp * y - sp * z1;
      at[3 * i + 2] = pivot + back - (cp * z1 + sp * y);  // distance in front of the eye
    }
    order.sort((a, b) => at[3 * b + 2] - at[3 * a + 2]);
    for (const i of order) {
      const far = at[3 * i + 2];
      if (far < 0.05) continue;
      const side = Math.max(1.2, focal / far * -p[3 * i + 2] * cloud.pixel * 1.15);
      pen.fillStyle = `rgb(${c[3 * i]},${c[3 * i + 1]},${c[3 * i + 2]})`;
      pen.fillRect(w / 2 + at[3 * i] / far * focal - side / 2,
                   h / 2 - at[3 * i + 1] / far * focal - side / 2, side, side);
    }
    drawn = true;
  }

  function frame(now) {
    if (!touched) {  // sways until somebody takes hold
      yaw = 0.35 * Math.sin((now - began) / 1600);
      pitch = 0.12 * Math.sin((now - began) / 2300);
      drawn = false;
    }
    if (!drawn) draw();
    window.requestAnimationFrame(frame);
  }

  function turn(across, down) {  // never upside down
    yaw += across; pitch = Math.max(-1.5, Math.min(1.5, pitch + down));
  }

  const held = new Map();
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    held.set(e.pointerId, e); touched = true;
  });
  canvas.addEventListener("pointermove", (e) => {
    if (!held.has(e.pointerId)) return;
    const before = held.get(e.pointerId);
    if (held.size === 1) {
      turn((e.clientX - before.clientX) * 0.008, (e.clientY - before.clientY) * 0.008);
    } else {
      const other = [...held.entries()].find(([id]) => id !== e.pointerId)[1];
      const span = (q) => Math.hypot(q.clientX - other.clientX, q.clientY - other.clientY) + 1;
      zoom = Math.max(0.2, Math.min(8, zoom * span(e) / span(before)));
    }
    held.set(e.pointerId, e); drawn = false;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (e) => held.delete(e.pointerId));
  }
  canvas.addEventListener("wheel", (e) => {
    e.preventDefault(); touched = true; drawn = false;
    zoom = Math.max(0.2, Math.min(8, zoom * Math.exp(-e.deltaY * 0.0015)));
  }, { passive: false });
  canvas.addEventListener("keydown", (e) => {
    const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1],
                 ArrowDown: [0, 0.1] }[e.key];
    if (!by) return;
    e.preventDefault(); touched = true; drawn = false; turn(...by);
  });
  canvas.addEventListener("dblclick", () => { yaw = pitch = 0; zoom = 1; drawn = false; });
  for (const [i, button] of [...menu.children].entries()) {
    button.addEventListener("click", () => choose(i));
  }
  window.addEventListener("resize", () => { drawn = false; });
  choose(0);
  draw();
  window.requestAnimationFrame(frame);
})();
