// Asks for the camera before the page opens it. The first input becomes the name of what is in the way: "" for nothing,
// "stopped" where Stop was pressed while the browser asked.
async (_problem, ...choices) => {
  let problem = "";
  if (!navigator.mediaDevices?.getUserMedia) problem = "insecure";
  else
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: true });
      stream.getTracks().forEach((track) => track.stop());
    } catch (error) {
      problem = error.name || "unknown";
    }
  if (document.querySelector("#live-stop").disabled) problem = "stopped";
  return [problem, ...choices];
}
