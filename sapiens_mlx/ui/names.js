// Gives every group of choices the name that stands above it, which Gradio shows but does not tell a screen reader.
() => {
  const nameGroups = () => {
    for (const group of document.querySelectorAll("fieldset:not([aria-label])")) {
      const title = group.querySelector('[data-testid="block-info"]');
      if (title) group.setAttribute("aria-label", title.textContent.trim());
    }
  };
  new MutationObserver(nameGroups).observe(document.body, { childList: true, subtree: true });
  nameGroups();
}
