// Shows the recommendation at the cap that the reader sets, and tells the figures of it.
{
  const cards = [...document.querySelectorAll("#answer .choices .choice")];
  const slider = document.getElementById("cap");

  function show(number) {
    const card = cards[number];
    cards.forEach((one, at) => { one.hidden = at !== number; });
    if (slider) {
      slider.setAttribute("aria-valuetext", card.dataset.spoken);
      const cap = JSON.parse(card.dataset.cap);
      document.getElementById("cap-value").textContent = card.querySelector("h3 span").textContent;
      slider.style.setProperty("--at", cards.length > 1 ? number / (cards.length - 1) : 0);
      slider.dataset.cap = cap;
    }
    document.dispatchEvent(new CustomEvent("rewarm:chosen", {
      detail: {
        settings: JSON.parse(card.dataset.settings),
        rivals: JSON.parse(card.dataset.rivals),
        cap: JSON.parse(card.dataset.cap),
      },
    }));
  }

  if (slider) {
    slider.closest(".cap").hidden = false;
    slider.addEventListener("input", () => show(Number(slider.value)));
    // Before the figures are drawn for print.
    addEventListener("beforeprint", () => show(Number(slider.dataset.default)), { capture: true });
    addEventListener("afterprint", () => show(Number(slider.value)), { capture: true });
    show(Number(slider.value));
  } else if (cards.length) {
    show(0);
  }
}
