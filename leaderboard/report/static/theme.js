// The theme that was chosen, before anything is drawn. "auto" leaves it to the system.
(() => {
  let chosen = "auto";
  try { chosen = localStorage.getItem("latentbench-theme") || "auto"; } catch { /* no storage from a file in some browsers */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
