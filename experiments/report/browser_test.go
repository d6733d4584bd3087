package report

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/synapnet/synapnet-train/experiments"
	"github.com/synapnet/synapnet-train/experiments/lab"
)

// probe runs in a browser with the report in a frame as wide as a phone: it unfolds everything, sorts a table, chooses
// a series, scrolls, and says what happened.
const probe = `<!doctype html><iframe id="f" width="390" height="800" src="report.html"></iframe><script>
onload = () => {
  const w = document.getElementById('f').contentWindow, d = w.document, out = [];
  out.push('unfolded ' + [...d.querySelectorAll('details')].filter((e) => e.open).length);
  d.querySelectorAll('main details').forEach((e) => { e.open = true; });
  out.push('overflow ' + (d.documentElement.scrollWidth - d.documentElement.clientWidth));
  const table = d.querySelector('.view table'), head = table.tHead.rows[table.tHead.rows.length - 1].cells[3];
  head.click(); out.push(head.getAttribute('aria-sort') + ' ' + table.tBodies[0].rows[0].cells[0].textContent);
  head.click(); out.push(head.getAttribute('aria-sort') + ' ' + table.tBodies[0].rows[0].cells[0].textContent);
  d.querySelector('.legend button').click();
  out.push('on ' + d.querySelector('.view').querySelectorAll('svg .on').length);
  const dot = d.querySelector('.mark .hit');
  dot.dispatchEvent(new w.PointerEvent('pointermove', {bubbles: true, clientX: 5, clientY: 5}));
  out.push('tip ' + d.getElementById('tip').textContent.split('\n')[0]);
  const style = (e) => w.getComputedStyle(e), ring = d.querySelector('.bar .ring');
  out.push('ring seen on its bar ' + (style(ring).stroke !== style(ring.closest('.bar').querySelector('path')).fill));
  const late = ring.closest('.s').appendChild(d.createElementNS('http://www.w3.org/2000/svg', 'g'));
  late.setAttribute('class', 'late');
  const shown = (on) => { late.parentNode.classList.toggle('on', on); return style(late).display; };
  out.push('late ' + shown(false) + ' ' + shown(true));
  const box = d.querySelectorAll('.view')[2].querySelector('.scroll'), at = box.getBoundingClientRect();
  box.style.width = '12rem'; box.style.maxHeight = '7rem'; box.scrollLeft = 70; box.scrollTop = 50;
  const [first, second] = [...box.querySelectorAll('tbody tr:last-child .label')].map((c) => c.getBoundingClientRect());
  out.push('scrolled ' + box.scrollLeft + ' ' + box.scrollTop + ', labels at ' + Math.round(first.left - at.left) +
    ' and ' + Math.round(second.left - first.right) + ', headings at ' +
    Math.round(box.querySelector('thead').getBoundingClientRect().top - box.getBoundingClientRect().top));
  const p = document.createElement('p'); p.id = 'out'; p.textContent = out.join('; '); document.body.append(p);
};
</script>`

// shotsVariable names a folder for screenshots; with it a browser is a must, without one these tests need none.
const shotsVariable = "SYNAPNET_SCREENSHOTS"

// unavailable ends a test that has no browser.
func unavailable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv(shotsVariable) != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// chromium runs the browser with the arguments, and gives what it prints.
func chromium(t *testing.T, arguments ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("the test is to be short")
	}
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		unavailable(t, "there is no Chromium here")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, browser, append([]string{"--headless=new", "--no-sandbox", "--disable-gpu",
		"--hide-scrollbars", "--allow-file-access-from-files", "--user-data-dir=" + t.TempDir(),
		"--virtual-time-budget=5000"}, arguments...)...)
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	if err := command.Run(); err != nil {
		unavailable(t, fmt.Sprintf("the browser does not start here: %v %s", err, problems.String()))
	}
	return out.String()
}

// browse opens a page that has the report of the folder in it, and gives what the page says in the end.
func browse(t *testing.T, folder, page string) string {
	t.Helper()
	path := filepath.Join(folder, "probe.html")
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	out := chromium(t, "--dump-dom", "file://"+path)
	got := regexp.MustCompile(`<p id="out">(.*?)</p>`).FindStringSubmatch(out)
	if got == nil {
		t.Fatalf("the page did not get to its end:\n%s", out)
	}
	return got[1]
}

// photograph draws the report of the folder in a window of that size, if it is asked for. The window is a frame: the
// browser's own is at least 500 pixels wide.
func photograph(t *testing.T, folder string, width, height int) {
	t.Helper()
	shots := os.Getenv(shotsVariable)
	if shots == "" {
		return
	}
	page := filepath.Join(folder, "photograph.html")
	frame := fmt.Sprintf(`<!doctype html><style>body { margin: 0 } iframe { border: 0; display: block }</style>
<iframe width="%d" height="%d" src="report.html"></iframe>`, width, height)
	if err := os.WriteFile(page, []byte(frame), 0o600); err != nil {
		t.Fatal(err)
	}
	picture := filepath.Join(shots, fmt.Sprintf("report-%dx%d.png", width, height))
	chromium(t, fmt.Sprintf("--window-size=%d,%d", max(width, 500), height), "--screenshot="+picture, "file://"+page)
	if info, err := os.Stat(picture); err != nil || info.Size() == 0 {
		t.Fatalf("the browser left no picture %s: %v", picture, err)
	}
}

// In a real browser the page fits a phone with all of it unfolded, its tables sort, its legends choose and its marks
// speak; in a table that is scrolled both ways its labels and headings stay, inside a border of one pixel.
func TestPageInABrowser(t *testing.T) {
	d := folder(t)
	if _, _, err := Write(d, nil, false); err != nil {
		t.Fatal(err)
	}
	got := browse(t, d.Root, probe)
	want := "unfolded 0; overflow 0; descending a; ascending b|b; on 2; tip a, 512: 0.500 [0.404, 0.596], n = 100, " +
		"paper; ring seen on its bar true; late none inline; scrolled 70 50, labels at 1 and 0, headings at 1"
	if got != want {
		t.Errorf("the page says\n%s\nwant\n%s", got, want)
	}
}

// measured says how the report of a folder stands in a window.
const measured = `<!doctype html><iframe id="f" width="%d" height="%d" src="report.html"></iframe><script>
onload = () => {
  const f = document.getElementById('f'), d = f.contentWindow.document, h = f.clientHeight;
  const claims = d.querySelector('.claims').getBoundingClientRect(), page = d.documentElement;
  const p = document.createElement('p'); p.id = 'out';
  p.textContent = 'claims in the first screen ' + (claims.top >= 0 && claims.bottom <= h) +
    ', overflow ' + (page.scrollWidth - page.clientWidth) + ', of claims ' +
    (d.querySelector('.claims').scrollWidth - d.querySelector('.claims').clientWidth) +
    ', fewer than %d screens ' + (page.scrollHeight < %[3]d * h);
  document.body.append(p);
};
</script>`

// The committed report says all verdicts in its first screen, those on the strong model where there are some, on a desk
// and on a phone, and is not long before anything is unfolded.
func TestFirstScreen(t *testing.T) {
	root := filepath.Join("..", "..", "results")
	for name, strong := range map[string]*lab.Driver{"without": nil, "with": strongResults(t)} {
		r, err := New(&lab.Driver{Profile: lab.Full, Root: root, Experiments: experiments.Of(lab.Full)}, strong)
		if err != nil {
			t.Fatal(err)
		}
		page, err := r.HTML()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, HTMLFile), page, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run(name+" a strong model", func(t *testing.T) { firstScreen(t, dir) })
	}
}

// linked says whether a link to a section within what is folded unfolds it.
const linked = `<!doctype html><iframe id="f" width="1366" height="768" src="report.html#pretrain"></iframe><script>
onload = () => {
  const p = document.createElement('p'); p.id = 'out';
  p.textContent = 'unfolded ' + document.getElementById('f').contentWindow.document.getElementById('published').open;
  document.body.append(p);
};
</script>`

// The sections of the reproduction, folded behind those on the strong model, are found by links.
func TestLinksUnfold(t *testing.T) {
	d := folder(t)
	if _, _, err := Write(d, strongResults(t), false); err != nil {
		t.Fatal(err)
	}
	if got := browse(t, d.Root, linked); got != "unfolded true" {
		t.Error(got)
	}
}

// firstScreen looks at the report of a folder on a desk and on a phone.
func firstScreen(t *testing.T, dir string) {
	t.Helper()
	for _, c := range []struct{ width, height, screens int }{{1366, 768, 15}, {390, 844, 32}} {
		got := browse(t, dir, fmt.Sprintf(measured, c.width, c.height, c.screens))
		want := fmt.Sprintf("claims in the first screen true, overflow 0, of claims 0, fewer than %d screens true", c.screens)
		if got != want {
			t.Errorf("%d pixels wide: %s, want %s", c.width, got, want)
		}
		photograph(t, dir, c.width, c.height)
		photograph(t, dir, c.width, 12000)
	}
}
