// What Gradio shows but does not tell a screen reader or the keyboard: the name that stands above a group of choices;
// which radios are of one group, so that Tab goes to the chosen one and arrows move the choice; and that the 3-D view
// is one, whose library would have it come before everything else in the tab order.
() => {
  const mend = () => {
    for (const group of document.querySelectorAll("fieldset")) {
      const title = group.querySelector('[data-testid="block-info"]');
      if (title && !group.hasAttribute("aria-label")) group.setAttribute("aria-label", title.textContent.trim());
      const radios = group.querySelectorAll('input[type="radio"]');
      for (const radio of radios) {
        if (radio.name !== radios[0].name) radio.name = radios[0].name;
      }
    }
    for (const view of document.querySelectorAll('.viewer canvas[tabindex="1"]')) {
      view.tabIndex = 0;
      view.setAttribute("role", "img");
      view.setAttribute("aria-label", "3-D view");
    }
  };
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true, attributeFilter: ["tabindex"] });
  mend();
}
