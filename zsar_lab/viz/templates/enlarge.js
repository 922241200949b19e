const figure = event.target.closest('figure'), key = event.key, figures = [...this.querySelectorAll(':scope > figure')];
if (!figures.includes(figure)) return;
const step = { ArrowRight: 1, ArrowLeft: -1 }[key], is_large = figure.classList.contains('zsar-large');
if (key ? event.target !== figure && key !== 'Escape' : is_large && event.target.tagName !== 'FIGCAPTION') return;
if (key && !step && key !== 'Enter' && !(key === 'Escape' && is_large)) return;
if (key) event.preventDefault();
if (step) return figures[figures.indexOf(figure) + step]?.focus();
for (const one of figures) {
  const large = one === figure && !is_large, video = one.querySelector('video');
  one.classList.toggle('zsar-large', large);
  if (video) video.controls = large;
}
if (event.isTrusted) figure.scrollIntoView({ block: 'nearest' });
