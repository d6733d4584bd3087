(() => {
  'use strict';
  const compare = (a, b) => a.localeCompare(b, 'en', { numeric: true });

  // Headings sort their table. Rows without a value go last either way.
  for (const table of document.querySelectorAll('table.data')) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    const body = table.tBodies[0];
    const sort = (column) => {
      const head = heads[column];
      const number = head.classList.contains('num');
      const before = head.getAttribute('aria-sort');
      const down = before ? before === 'ascending' : number;
      heads.forEach((h) => h.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      table.classList.add('sorted');
      const key = (row) => {
        const cell = row.cells[column];
        return cell.hasAttribute('data-sort') ? cell.getAttribute('data-sort') : cell.textContent.trim();
      };
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (a === '' || b === '') return (a === '') - (b === '');
        const d = !isNaN(a) && !isNaN(b) ? a - b : compare(a, b);
        return down ? -d : d;
      });
      body.append(...rows.map(([, row]) => row));
    };
    heads.forEach((head, column) => {
      head.tabIndex = 0;
      head.addEventListener('click', () => sort(column));
      head.addEventListener('keydown', (e) => {
        if (e.key === 'Enter' || e.key === ' ') { e.preventDefault(); sort(column); }
      });
    });
  }

  // The columns that name a row stay in sight, each beside the one before it; what scrolls can be reached with the keyboard.
  const place = (box) => {
    const table = box.firstElementChild;
    let left = 0;
    table.tHead.rows[table.tHead.rows.length - 1].querySelectorAll('.label').forEach((cell, i) => {
      table.style.setProperty('--left-' + i, left + 'px');
      left += cell.offsetWidth;
    });
    box.tabIndex = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight ? 0 : -1;
  };
  const resized = new ResizeObserver((all) => all.forEach((e) => place(e.target)));
  document.querySelectorAll('.scroll').forEach((box) => { place(box); resized.observe(box); });

  // Pointing at a name in a legend, or at a row, brings out its series; a click keeps it.
  for (const view of document.querySelectorAll('.view')) {
    if (!view.querySelector('svg')) continue;
    let kept = null;
    const show = (s) => {
      view.classList.toggle('dim', s !== null);
      view.querySelectorAll('.on').forEach((e) => e.classList.remove('on'));
      if (s === null) return;
      view.querySelectorAll(`.d${s}, tr[data-s="${s}"]`).forEach((e) => e.classList.add('on'));
    };
    for (const e of view.querySelectorAll('[data-s]')) {
      const s = e.dataset.s;
      e.addEventListener('pointerenter', (p) => { if (p.pointerType === 'mouse') show(s); });
      e.addEventListener('pointerleave', (p) => { if (p.pointerType === 'mouse') show(kept); });
      e.addEventListener('click', () => {
        kept = kept === s ? null : s;
        view.querySelectorAll('button[data-s]').forEach((b) => b.setAttribute('aria-pressed', String(b.dataset.s === kept)));
        show(kept);
      });
    }
  }

  // Titles of marks, at once and for fingers too.
  const tip = document.getElementById('tip');
  let from = null;
  const hide = () => { tip.hidden = true; from = null; };
  const titleOf = (target) => {
    const mark = target.closest && target.closest('.mark');
    if (!mark) return null;
    const title = mark.querySelector('title');
    if (title) { mark.dataset.tip = title.textContent; title.remove(); } // or the browser shows it a second time
    return mark;
  };
  document.addEventListener('pointermove', (e) => {
    const mark = titleOf(e.target);
    if (!mark) { if (from) hide(); return; }
    if (mark !== from) { tip.textContent = mark.dataset.tip; tip.hidden = false; from = mark; }
    const w = tip.offsetWidth, h = tip.offsetHeight;
    tip.style.left = Math.max(4, Math.min(innerWidth - w - 4, e.clientX + 12)) + 'px';
    tip.style.top = (e.clientY + h + 20 > innerHeight ? e.clientY - h - 10 : e.clientY + 14) + 'px';
  });
  document.addEventListener('scroll', hide, { passive: true });

  // A link to what is folded, or within it, unfolds it.
  const unfold = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target && target.closest('details');
    if (!folded) return;
    for (let e = folded; e; e = e.parentElement.closest('details')) e.open = true;
    target.scrollIntoView();
  };
  addEventListener('hashchange', unfold);
  unfold();

  // On narrow screens the contents start closed.
  if (matchMedia('(max-width: 63.9rem)').matches) document.querySelector('nav details').open = false;
})();
