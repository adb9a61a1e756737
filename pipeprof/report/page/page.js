"use strict";
// The page is complete without this: it only adds a button that copies a patch, and opens every fold on paper.
for (const patch of document.querySelectorAll("pre.diff")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy patch";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(patch.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(patch);
      button.textContent = "Selected: copy with the keyboard";
    }
  });
  patch.before(button);
}
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
});
