// Opens the camera that has just been put on the page and lets its frames run: the component's own two buttons, which
// the style sheet hides, are pressed for the visitor. Afterwards it watches: whoever goes to another tab, or stays
// longer than the limit, has Stop pressed for them. Gives "" or, where the camera does not come, "timeout".
async (_problem) => {
  const stop = () => document.querySelector("#live-stop");
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const giveUp = performance.now() + 10000;
  let asked = false;
  while (performance.now() < giveUp) {
    if (stop().disabled) return [""]; // stopped meanwhile, or there was a problem before
    const access = document.querySelector('#live-camera [title="grant webcam access"] button');
    const record = document.querySelector('#live-camera button[aria-label="capture photo"]');
    if (access && !asked) {
      access.click();
      asked = true;
    }
    if (record && document.querySelector("#live-camera video")?.videoWidth) {
      record.click();
      const end = performance.now() + LIMIT_MS;
      clearInterval(window.liveCameraWatch); // of the time before
      const watch = (window.liveCameraWatch = setInterval(() => {
        if (!stop() || stop().disabled) clearInterval(watch);
        else if (stop().offsetParent === null || performance.now() > end) stop().click();
      }, 500));
      return [""];
    }
    await wait(50);
  }
  return ["timeout"];
}
