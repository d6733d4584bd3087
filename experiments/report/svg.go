package report

import (
	"fmt"
	"html"
	"image"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// ink is a colour that the page's style sheet decides, so that figures follow its light or dark scheme: the name of a
// custom property.
type ink string

// The inks of a figure. What is drawn in an own group may use inkSeries, the group's colour.
const (
	inkText   ink = "ink"
	inkMuted  ink = "muted"
	inkGrid   ink = "grid"
	inkCard   ink = "card" // what the figure stands on
	inkSeries ink = "c"
)

// RGBA is black: gonum/plot asks for it only to draw images.
func (ink) RGBA() (r, g, b, a uint32) { return color.Black.RGBA() }

// css is a colour as a style sheet has it.
func css(c color.Color) string {
	if i, ok := c.(ink); ok {
		return "var(--" + string(i) + ")"
	}
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
}

// svg draws for gonum/plot into an SVG element that is part of a page: colours are the page's, and what belongs
// together is in groups with titles, which vgsvg does not have. Coordinates are in points, y upwards, as everywhere in
// gonum/plot.
type svg struct {
	w, h  vg.Length
	body  strings.Builder
	state []state
}

// state is what Push keeps. at maps a point to the canvas: x' = a x + c y + e, y' = b x + d y + f.
type state struct {
	a, b, c, d, e, f float64
	colour           color.Color
	width            vg.Length
	dash             []vg.Length
}

func newSVG(w, h vg.Length) *svg {
	return &svg{w: w, h: h, state: []state{{a: 1, d: 1, colour: inkText, width: 1}}}
}

// element is the whole figure, described for those who do not see it.
func (s *svg) element(label string) string {
	return fmt.Sprintf("<svg viewBox=\"0 0 %s %s\" role=\"img\" aria-label=\"%s\">%s</svg>", num(s.w.Points()),
		num(s.h.Points()), html.EscapeString(label), s.body.String())
}

// open begins a group of a class, with a title that browsers and the page's script show; "" for none.
func (s *svg) open(class, title string) {
	_, _ = fmt.Fprintf(&s.body, "<g class=\"%s\">", html.EscapeString(class))
	if title != "" {
		_, _ = fmt.Fprintf(&s.body, "<title>%s</title>", html.EscapeString(title))
	}
}

func (s *svg) close() { s.body.WriteString("</g>") }

// dot draws a disc of the group's colour around p.
func (s *svg) dot(p vg.Point, r vg.Length) { s.circle("dot", p, r) }

// ring draws the mark of a published value around p.
func (s *svg) ring(p vg.Point, r vg.Length) { s.circle("ring", p, r) }

func (s *svg) circle(class string, p vg.Point, r vg.Length) {
	x, y := s.hit(p)
	_, _ = fmt.Fprintf(&s.body, "<circle class=\"%s\" cx=\"%s\" cy=\"%s\" r=\"%s\"/>", class, num(x), num(y),
		num(r.Points()))
}

// square draws a square of the group's colour around p, as large as a disc of radius r looks.
func (s *svg) square(p vg.Point, r vg.Length) {
	x, y := s.hit(p)
	half := 0.9 * r.Points()
	_, _ = fmt.Fprintf(&s.body, "<rect class=\"dot\" x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\"/>", num(x-half),
		num(y-half), num(2*half), num(2*half))
}

// hit draws what pointers meet around a mark at p, wider than the mark, and gives the place.
func (s *svg) hit(p vg.Point) (x, y float64) {
	x, y = s.at(p)
	_, _ = fmt.Fprintf(&s.body, "<circle class=\"hit\" cx=\"%s\" cy=\"%s\" r=\"9\"/>", num(x), num(y))
	return x, y
}

func (s *svg) now() *state { return &s.state[len(s.state)-1] }

// at is the place of p on the canvas, y downwards.
func (s *svg) at(p vg.Point) (x, y float64) {
	t := s.now()
	px, py := p.X.Points(), p.Y.Points()
	return t.a*px + t.c*py + t.e, s.h.Points() - (t.b*px + t.d*py + t.f)
}

// Size is the extent of the figure.
func (s *svg) Size() (w, h vg.Length) { return s.w, s.h }

// SetLineWidth sets the width of lines.
func (s *svg) SetLineWidth(w vg.Length) { s.now().width = w }

// SetLineDash sets the pattern of lines; the offset is not used by any plot here.
func (s *svg) SetLineDash(pattern []vg.Length, _ vg.Length) { s.now().dash = pattern }

// SetColor sets the colour of lines, areas and text.
func (s *svg) SetColor(c color.Color) { s.now().colour = c }

// Rotate turns what follows.
func (s *svg) Rotate(rad float64) {
	sin, cos := math.Sincos(rad)
	s.apply(cos, sin, -sin, cos, 0, 0)
}

// Translate moves what follows.
func (s *svg) Translate(p vg.Point) { s.apply(1, 0, 0, 1, p.X.Points(), p.Y.Points()) }

// Scale stretches what follows.
func (s *svg) Scale(x, y float64) { s.apply(x, 0, 0, y, 0, 0) }

func (s *svg) apply(a, b, c, d, e, f float64) {
	t := s.now()
	t.a, t.b, t.c, t.d, t.e, t.f = t.a*a+t.c*b, t.b*a+t.d*b, t.a*c+t.c*d, t.b*c+t.d*d, t.a*e+t.c*f+t.e, t.b*e+t.d*f+t.f
}

// Push keeps the state until Pop.
func (s *svg) Push() { s.state = append(s.state, *s.now()) }

// Pop goes back to the state of the last Push.
func (s *svg) Pop() { s.state = s.state[:len(s.state)-1] }

// Stroke draws a line.
func (s *svg) Stroke(p vg.Path) {
	t := s.now()
	if t.width <= 0 {
		return
	}
	dash := ""
	for _, d := range t.dash {
		dash += num(d.Points()) + " "
	}
	if dash != "" {
		dash = fmt.Sprintf(" stroke-dasharray=\"%s\"", strings.TrimSpace(dash))
	}
	_, _ = fmt.Fprintf(&s.body, "<path d=\"%s\" fill=\"none\" style=\"stroke:%s\" stroke-width=\"%s\"%s/>", s.path(p),
		css(t.colour), num(t.width.Points()), dash)
}

// Fill draws an area.
func (s *svg) Fill(p vg.Path) {
	_, _ = fmt.Fprintf(&s.body, "<path d=\"%s\" style=\"fill:%s\"/>", s.path(p), css(s.now().colour))
}

// FillString writes text.
func (s *svg) FillString(f font.Face, p vg.Point, text string) {
	x, y := s.at(p)
	t := s.now()
	turn := ""
	if angle := math.Atan2(t.b, t.a); angle != 0 {
		turn = fmt.Sprintf(" transform=\"rotate(%s %s %s)\"", num(-angle*180/math.Pi), num(x), num(y))
	}
	weight := ""
	if f.Font.Weight > 0 {
		weight = " font-weight=\"600\""
	}
	// The reader's font may be wider than the one that gonum/plot reckoned with: the text gets the room that it was given.
	_, _ = fmt.Fprintf(&s.body, "<text x=\"%s\" y=\"%s\" font-size=\"%s\" textLength=\"%s\" "+
		"lengthAdjust=\"spacingAndGlyphs\" style=\"fill:%s\"%s%s>%s</text>",
		num(x), num(y), num(f.Font.Size.Points()), num(f.Width(text).Points()), css(t.colour), weight, turn,
		html.EscapeString(text))
}

// DrawImage is not needed by any plot here.
func (s *svg) DrawImage(vg.Rectangle, image.Image) {}

func (s *svg) path(p vg.Path) string {
	var b strings.Builder
	point := func(letter string, at ...vg.Point) {
		b.WriteString(letter)
		for i, q := range at {
			if i > 0 {
				b.WriteByte(' ')
			}
			x, y := s.at(q)
			b.WriteString(num(x) + " " + num(y))
		}
	}
	for _, c := range p {
		switch c.Type {
		case vg.MoveComp:
			point("M", c.Pos)
		case vg.LineComp:
			point("L", c.Pos)
		case vg.CurveComp:
			point(map[int]string{1: "Q", 2: "C"}[len(c.Control)], append(append([]vg.Point{}, c.Control...), c.Pos)...)
		case vg.ArcComp:
			const parts = 24
			for i := range parts + 1 {
				sin, cos := math.Sincos(c.Start + c.Angle*float64(i)/parts)
				letter := "L"
				if b.Len() == 0 {
					letter = "M"
				}
				point(letter, vg.Point{X: c.Pos.X + c.Radius*vg.Length(cos), Y: c.Pos.Y + c.Radius*vg.Length(sin)})
			}
		case vg.CloseComp:
			b.WriteByte('Z')
		}
	}
	return b.String()
}

// num writes a coordinate to a hundredth of a point.
func num(x float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", x), "0"), ".")
}
