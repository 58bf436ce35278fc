// Keys for what the buttons do. Without this script the page is the same, with Tab and Enter.
"use strict";
(() => {
  const buttons = { "1": "1", ArrowLeft: "1", "2": "2", ArrowRight: "2", "0": "0" };
  let sent = false;
  for (const form of document.forms) {
    form.addEventListener("submit", (event) => {
      if (sent) event.preventDefault(); // one rating for each page, however often a key is pressed
      sent = true;
    });
  }
  window.addEventListener("pageshow", () => { sent = false; });
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    const undo = event.key === "u" || event.key === "U";
    const selector = undo ? "#undo button" : `#rate button[value="${buttons[event.key] ?? ""}"]`;
    const button = document.querySelector(selector);
    if (!button) return;
    event.preventDefault();
    button.click();
  });
})();
