// One player for all clips of the page, so that one plays at a time and nothing loads before it is asked for.
(() => {
  "use strict";
  const bar = document.getElementById("player");
  const audio = document.getElementById("audio");
  const now = document.getElementById("now");
  let current = null;
  const press = (clip, on) => clip && clip.setAttribute("aria-pressed", String(on));

  const toggle = (clip) => {
    if (clip === current && !audio.paused) { audio.pause(); return; }
    if (clip !== current) {
      press(current, false);
      current = clip;
      audio.src = clip.getAttribute("href");
      now.textContent = clip.dataset.said;
      bar.hidden = false;
    }
    audio.play().catch((error) => {
      if (error.name !== "AbortError") now.textContent = `${clip.dataset.said}: cannot be played here (${error.name})`;
    });
  };
  audio.addEventListener("play", () => press(current, true));
  audio.addEventListener("pause", () => press(current, false));
  audio.addEventListener("ended", () => press(current, false));
  for (const clip of document.querySelectorAll("a.play")) {
    clip.setAttribute("role", "button");
    press(clip, false);
    clip.addEventListener("click", (event) => { event.preventDefault(); toggle(clip); });
    clip.addEventListener("keydown", (event) => { if (event.key === " ") { event.preventDefault(); toggle(clip); } });
  }
})();
