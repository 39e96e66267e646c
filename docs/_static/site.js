// What scrolls sideways must be reachable with the keyboard, and wide tables scroll within their own frame.
// What assistive technology asks for, and the theme does not say: levels of headings, the language of Chinese terms.
document.addEventListener("DOMContentLoaded", () => {
  for (const caption of document.querySelectorAll('[role="heading"]:not([aria-level])')) caption.setAttribute("aria-level", "2");
  for (const term of document.querySelectorAll("dl.glossary dt")) {
    if (/[\u4e00-\u9fff]/.test(term.textContent)) term.lang = "zh";
  }
  for (const table of document.querySelectorAll("article table.docutils")) {
    if (table.closest(".table-wrapper")) continue;
    const frame = document.createElement("div");
    frame.className = "table-wrapper docutils container";
    table.replaceWith(frame);
    frame.append(table);
  }
  const focusable = () => {
    const width = document.querySelector("article")?.clientWidth ?? innerWidth;
    for (const formula of document.querySelectorAll("article mjx-container:not([display])")) {
      formula.classList.toggle("wide", formula.firstElementChild.getBoundingClientRect().width > width - 48);
    }
    for (const box of document.querySelectorAll("article pre, article .table-wrapper, article div.math, article mjx-container.wide")) {
      if (box.scrollWidth > box.clientWidth + 1) {
        box.tabIndex = 0;
        if (!box.matches("pre")) {
          box.setAttribute("role", "region");
          box.setAttribute("aria-label", box.matches(".table-wrapper") ? "Table, scrolls sideways" : "Formula, scrolls sideways");
        }
      }
    }
  };
  focusable();
  window.addEventListener("load", () => setTimeout(focusable, 1000));
  window.addEventListener("resize", focusable);
});
