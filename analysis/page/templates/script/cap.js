// Shows the recommendation at the cap that the reader sets, and tells the figures of it.
{
  const cards = [...document.querySelectorAll("#answer .choices .choice")];
  const slider = document.querySelector(".cap input");
  const caps = cards.map((card) => JSON.parse(card.dataset.cap));

  function show(number) {
    const card = cards[number];
    cards.forEach((one, at) => { one.hidden = at !== number; });
    if (slider) {
      slider.setAttribute("aria-valuetext", card.dataset.spoken);
      document.querySelector(".cap output").textContent = card.querySelector("h3 span").textContent;
    }
    document.dispatchEvent(new CustomEvent("rewarm:chosen", {
      detail: {
        settings: JSON.parse(card.dataset.settings),
        rivals: JSON.parse(card.dataset.rivals),
        cap: caps[number],
      },
    }));
  }

  // A cap outlives a reload of the page, by its value: there may be other stops by then.
  function remembered() {
    const cap = history.state?.cap;
    return cap === undefined ? Number(slider.value) : Math.max(caps.findLastIndex((one) => one <= cap), 0);
  }

  if (slider) {
    slider.closest(".cap").hidden = false;
    slider.value = remembered();
    slider.addEventListener("input", () => {
      history.replaceState({ ...history.state, cap: caps[slider.value] }, "");
      show(Number(slider.value));
    });
    // Before the figures are drawn for print.
    addEventListener("beforeprint", () => show(Number(slider.dataset.default)), { capture: true });
    addEventListener("afterprint", () => show(Number(slider.value)), { capture: true });
    show(Number(slider.value));
  } else if (cards.length) {
    show(0);
  }
}
