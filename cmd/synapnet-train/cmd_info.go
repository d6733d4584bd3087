package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/synapnet/synapnet-train/curriculum"
	"github.com/synapnet/synapnet-train/internal/bounds"
	"github.com/synapnet/synapnet-train/internal/table"
	"github.com/synapnet/synapnet-train/layers"
)

func infoCommand() *cli.Command {
	d := layers.Reference()
	flags := append(settingsFlags(append([]setting{recipeSetting(new(curriculum.Config))}, modelSettings(&d)...)),
		&cli.StringFlag{Name: "config",
			Usage: "TOML `FILE` of a pretraining, see configs/: its [model], its contexts and its batch size"},
		&cli.IntSliceFlag{Name: "contexts", Usage: "context `LENGTH`s in tokens (default: 512 1024 4096)"},
		&cli.IntFlag{Name: "batch-size", Usage: "samples at a time", Value: curriculum.Default().BatchSize},
		&cli.BoolFlag{Name: "verbose", Usage: "also list every block, and operations by component"},
		&cli.BoolFlag{Name: "json", Usage: "print JSON"},
	)
	return &cli.Command{
		Name:        "info",
		Usage:       "show a model's parameters by component, the memory it takes and the operations it needs",
		ArgsUsage:   "[MODEL.safetensors]",
		Description: helpText("info"),
		Flags:       flags,
		Action:      info,
	}
}

// description is what info tells of a model.
type description struct {
	Model      string          `json:"model"`            // the file, or where the configuration is from
	Recipe     string          `json:"recipe,omitempty"` // of a pretraining; "": none, or the file does not note it
	Config     layers.Config   `json:"config"`
	Parameters int             `json:"parameters"`
	Bytes      int             `json:"weights_bytes"` // as float32
	Held       int             `json:"weights_in_memory_bytes"`
	Components []componentInfo `json:"components"`
	Blocks     []componentInfo `json:"blocks"`
	BatchSize  int             `json:"batch_size"`
	Contexts   []contextInfo   `json:"contexts"`

	loaded *layers.Model // from the file; nil: there is none
}

// packed says that weights are in less than float32: such a model runs and is not trained.
func (d *description) packed() bool { return d.Held < d.Bytes }

// componentInfo is one component, of all blocks or of one.
type componentInfo struct {
	Block      *int   `json:"block,omitempty"`
	Component  string `json:"component"`
	Parameters int    `json:"parameters"`
}

// contextInfo is what depends on the context length.
type contextInfo struct {
	Context    int                   `json:"context"`
	Training   *memoryInfo           `json:"training_memory_bytes"` // null: a packed model is not trained
	Inference  *memoryInfo           `json:"inference_memory_bytes"`
	Operations operationsInfo        `json:"operations_per_token"`
	Components []componentOperations `json:"operations_per_token_by_component"`
}

// memoryInfo is in bytes.
type memoryInfo struct {
	Weights   int `json:"weights"`
	Gradients int `json:"gradients,omitempty"`
	Optimiser int `json:"optimiser,omitempty"` // AdamW's two moments
	Values    int `json:"intermediate_values"`
	Total     int `json:"total"`
}

// operationsInfo counts floating-point operations a token.
type operationsInfo struct {
	Forward             float64 `json:"forward"`
	TrainStep           float64 `json:"train_step"` // forward and backward
	ForwardEveryToken   float64 `json:"forward_without_shortcut"`
	TrainStepEveryToken float64 `json:"train_step_without_shortcut"`
}

type componentOperations struct {
	Component string  `json:"component"`
	Forward   float64 `json:"forward"`
	TrainStep float64 `json:"train_step"`
}

func info(c *cli.Context) error {
	d := description{BatchSize: c.Int("batch-size")}
	contexts, err := d.find(c)
	if err != nil {
		return err
	}
	if err := d.describe(contexts); err != nil {
		return err
	}
	if c.Bool("json") {
		err = printJSON(c.App.Writer, d)
	} else {
		err = d.print(c.App.Writer, c.Bool("verbose"))
	}
	if err == nil {
		d.next(c)
	}
	return err
}

// next suggests training a model that has no file, and running one that has.
func (d *description) next(c *cli.Context) {
	switch {
	case d.loaded == nil:
		flags := []string{"recipe", "config", "batch-size"}
		for _, s := range modelSettings(&d.Config) {
			flags = append(flags, s.flag)
		}
		next(c, again(c, []string{"pretrain"}, flags...)...)
	case d.Config.LanguageModel():
		next(c, "stream", d.Model, "--random-tokens", tried)
	case !learntOwn(d.loaded.Extra):
		next(c, "eval", d.Model)
	}
}

// find settles which model is meant and for which contexts.
func (d *description) find(c *cli.Context) (contexts []int, err error) {
	contexts = []int{512, 1024, 4096}
	switch c.Args().Len() {
	case 0:
		if contexts, err = d.withoutFile(c, contexts); err != nil {
			return nil, err
		}
	case 1:
		if flag := describing(c); flag != "" {
			return nil, usagef(c, "--%s and the file %s: the file says itself what its model is; give one of them", flag,
				printable(c.Args().First()))
		}
		if err := d.load(c, c.Args().First()); err != nil {
			return nil, err
		}
	default:
		return nil, usagef(c, "unexpected argument %s: info describes one model", printable(c.Args().Get(1)))
	}
	if c.IsSet("contexts") {
		return c.IntSlice("contexts"), checkShapes(c, d.Config, c.IntSlice("contexts"), d.BatchSize)
	}
	contexts = possible(contexts, d.Config)
	return contexts, checkShapes(c, d.Config, contexts, d.BatchSize)
}

// describing is the first flag given that says what a model without a file is; "" without one.
func describing(c *cli.Context) string {
	for _, s := range append(modelSettings(&layers.Config{}), setting{flag: "config"}, setting{flag: "recipe"}) {
		if c.IsSet(s.flag) {
			return s.flag
		}
	}
	return ""
}

// withoutFile takes the model that flags describe, or else the default one, or else the reference's configuration,
// which needs no file.
func (d *description) withoutFile(c *cli.Context, contexts []int) ([]int, error) {
	if describing(c) == "" {
		if path, err := defaultModel(c, ""); err == nil {
			return contexts, d.load(c, path)
		}
	}
	return d.fromFlags(c, contexts)
}

// load takes the model of a file.
func (d *description) load(c *cli.Context, path string) error {
	m, err := loadModel(c, path)
	if err != nil {
		return err
	}
	d.Model, d.Config, d.loaded = path, m.Config, m
	if conf, err := curriculum.ReadConfig(path); err == nil { // a checkpoint, which notes it; a finished model does not
		d.Recipe = recipeLine(conf)
	}
	return nil
}

// fromFlags takes the model, and what the user did not set, from --config and the flags.
func (d *description) fromFlags(c *cli.Context, contexts []int) ([]int, error) {
	recipe, err := recipeOf(c, "")
	if err != nil {
		return nil, err
	}
	file, err := readPretraining(c, withoutStages(recipe.Config()))
	if err != nil {
		return nil, err
	}
	conf, err := readPretraining(c, underneath(c, recipe.Config(), file))
	if err != nil {
		return nil, err
	}
	d.Model = "the reference model"
	if c.IsSet("recipe") {
		d.Model, contexts = "the model of recipe "+string(recipe), conf.Contexts()
	}
	if path := c.String("config"); path != "" {
		d.Model, contexts = path, conf.Contexts()
		if !c.IsSet("batch-size") {
			d.BatchSize = conf.BatchSize
		}
	}
	if err := overrideModel(c, &conf.Model); err != nil {
		return nil, err
	}
	if !conf.Model.Equal(recipe.Config().Model) && c.String("config") == "" {
		d.Model = "a model of these settings"
	}
	d.Config, d.Recipe = conf.Model, recipeLine(unnamed(conf))
	err = settingError(c, &conf, pretrainSettings(&conf), bounds.In("model", conf.Model.Validate()))
	return slices.Clone(contexts), err
}

// possible are those contexts for which the model has positions; its longest if there are none.
func possible(contexts []int, m layers.Config) []int {
	fit := slices.DeleteFunc(slices.Clone(contexts), func(t int) bool { return t > m.MaxLen })
	if len(fit) == 0 {
		return []int{m.MaxLen}
	}
	return fit
}

// maxTokens bounds a batch: beyond it, sizes are slips of the keyboard.
const maxTokens = 1 << 28

// checkShapes refuses contexts and batch sizes that the model cannot take.
func checkShapes(c *cli.Context, m layers.Config, contexts []int, batch int) error {
	if batch < 1 {
		return usagef(c, "--batch-size %d: must be at least 1", batch)
	}
	for _, t := range contexts {
		if t < layers.MinContext || t > m.MaxLen {
			return usagef(c, "--contexts %d: must be from %d to the model's %d positions (max_len)", t, layers.MinContext,
				m.MaxLen)
		}
		if batch > maxTokens/t {
			return usagef(c, "--batch-size %d: too large for context %d; give at most %d", batch, t, maxTokens/t)
		}
	}
	return nil
}

// describe fills in everything that follows from the configuration.
func (d *description) describe(contexts []int) error {
	costs := d.Config.Costs(layers.MinContext)
	d.Parameters = layers.Total(costs).Parameters
	d.Bytes = 4 * d.Parameters
	for _, name := range layers.Components() {
		of := only(costs, name)
		if n := layers.Total(of).Parameters; n > 0 {
			d.Components = append(d.Components, componentInfo{Component: name, Parameters: n})
		}
		for _, k := range of {
			if k.Block != layers.Outside {
				d.Blocks = append(d.Blocks, componentInfo{Block: &k.Block, Component: name, Parameters: k.Parameters})
			}
		}
	}
	slices.SortStableFunc(d.Blocks, func(a, b componentInfo) int { return *a.Block - *b.Block })
	d.Held = d.Bytes
	m := d.loaded
	if m != nil {
		d.Held = m.WeightBytes()
	} else {
		var err error
		if m, err = layers.Outline(d.Config); err != nil {
			return err
		}
	}
	for _, t := range contexts {
		info, err := d.atContext(m, t)
		if err != nil {
			return err
		}
		d.Contexts = append(d.Contexts, info)
	}
	return nil
}

func only(costs []layers.Cost, component string) (of []layers.Cost) {
	for _, k := range costs {
		if k.Component == component {
			of = append(of, k)
		}
	}
	return of
}

func (d *description) atContext(m *layers.Model, t int) (contextInfo, error) {
	costs := d.Config.Costs(t)
	perToken := func(costs []layers.Cost) (forward, step float64) {
		k := layers.Total(costs)
		return k.Forward / float64(t), (k.Forward + k.Backward) / float64(t)
	}
	info := contextInfo{Context: t}
	o := &info.Operations
	o.Forward, o.TrainStep = perToken(costs)
	o.ForwardEveryToken, o.TrainStepEveryToken = perToken(d.Config.CostsWithoutShortcut(t))
	for _, name := range layers.Components() {
		if forward, step := perToken(only(costs, name)); step > 0 {
			info.Components = append(info.Components, componentOperations{name, forward, step})
		}
	}
	infer, err := m.PlanInfer(d.BatchSize, t, 0)
	if err != nil {
		return info, err
	}
	info.Inference = &memoryInfo{Weights: d.Held, Values: infer.Arena}
	info.Inference.add()
	if d.packed() {
		return info, nil
	}
	train, err := m.PlanTrain(layers.TrainSpec{Batch: d.BatchSize, Tokens: t})
	if err != nil {
		return info, err
	}
	info.Training = &memoryInfo{Weights: d.Held, Gradients: train.Gradients, Optimiser: 2 * d.Held,
		Values: train.Arena - train.Gradients}
	info.Training.add()
	return info, nil
}

// add makes the total.
func (m *memoryInfo) add() { m.Total = m.Weights + m.Gradients + m.Optimiser + m.Values }

// print writes the description for people.
func (d *description) print(w io.Writer, verbose bool) error {
	head := [][]string{{d.Model}, {configLine(d.Config)}}
	if d.Recipe != "" {
		head = append(head, []string{d.Recipe})
	}
	if d.packed() {
		head = append(head, []string{fmt.Sprintf("packed: %s of weights in memory, %s as float32; 'inspect' lists them, it "+
			"runs and is not trained", megabytes(d.Held), megabytes(d.Bytes))})
	}
	sections := [][][]string{head, d.parameterRows()}
	if verbose {
		sections = append(sections, d.blockRows())
	}
	if !d.packed() {
		sections = append(sections, d.memoryRows("TRAINING", func(x contextInfo) *memoryInfo { return x.Training }))
	}
	sections = append(sections, d.memoryRows("INFERENCE", func(x contextInfo) *memoryInfo { return x.Inference }),
		d.operationRows())
	if verbose {
		sections = append(sections, d.componentRows())
	}
	for i, rows := range sections {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := table.Write(w, 1, rows...); err != nil {
			return err
		}
	}
	return nil
}

func (d *description) parameterRows() [][]string {
	rows := [][]string{{"PARAMETERS", "count", "share", "as float32"}}
	line := func(name string, n int) []string {
		return []string{"  " + name, grouped(n), fmt.Sprintf("%.1f%%", 100*float64(n)/float64(d.Parameters)),
			megabytes(4 * n)}
	}
	for _, k := range d.Components {
		rows = append(rows, line(k.Component, k.Parameters))
	}
	return append(rows, line("total", d.Parameters))
}

// blockRows is one row a block, one column a component.
func (d *description) blockRows() [][]string {
	rows := [][]string{{"BLOCKS"}}
	for i := range d.Config.Depth {
		row, total := []string{fmt.Sprintf("  %d", i)}, 0
		for _, k := range d.Blocks {
			if *k.Block != i {
				continue
			}
			if i == 0 {
				rows[0] = append(rows[0], k.Component)
			}
			row = append(row, grouped(k.Parameters))
			total += k.Parameters
		}
		rows = append(rows, append(row, grouped(total)))
	}
	rows[0] = append(rows[0], "total")
	return rows
}

// contextRow is one row with a column for each context.
func (d *description) contextRow(name string, cell func(contextInfo) string) []string {
	row := []string{name}
	for _, x := range d.Contexts {
		row = append(row, cell(x))
	}
	return row
}

func (d *description) heading(format string, args ...any) []string {
	return d.contextRow(fmt.Sprintf(format, args...),
		func(x contextInfo) string { return "context " + strconv.Itoa(x.Context) })
}

// memoryRows are the parts of a memory that there are.
func (d *description) memoryRows(name string, of func(contextInfo) *memoryInfo) [][]string {
	rows := [][]string{d.heading("%s MEMORY, batch %d", name, d.BatchSize)}
	for _, part := range []struct {
		name string
		of   func(*memoryInfo) int
	}{
		{"weights", func(m *memoryInfo) int { return m.Weights }},
		{"gradients", func(m *memoryInfo) int { return m.Gradients }},
		{"optimiser", func(m *memoryInfo) int { return m.Optimiser }},
		{"intermediate values", func(m *memoryInfo) int { return m.Values }},
		{"total", func(m *memoryInfo) int { return m.Total }},
	} {
		if part.of(of(d.Contexts[0])) > 0 {
			rows = append(rows, d.contextRow("  "+part.name, func(x contextInfo) string { return megabytes(part.of(of(x))) }))
		}
	}
	return rows
}

func (d *description) operationRows() [][]string {
	rows := [][]string{
		d.heading("OPERATIONS a token (matrix products)"),
		d.contextRow("  forward", func(x contextInfo) string { return operations(x.Operations.Forward) }),
		d.contextRow("  training step", func(x contextInfo) string { return operations(x.Operations.TrainStep) }),
	}
	if !d.Config.LanguageModel() {
		rows = append(rows, d.contextRow("  saved by the last block, for which the last token is enough",
			func(x contextInfo) string {
				return fmt.Sprintf("%.1f%%", 100*(1-x.Operations.TrainStep/x.Operations.TrainStepEveryToken))
			}))
	}
	return rows
}

func (d *description) componentRows() [][]string {
	rows := [][]string{d.heading("TRAINING STEP a token, by component")}
	for i, k := range d.Contexts[0].Components {
		rows = append(rows, d.contextRow("  "+k.Component, func(x contextInfo) string {
			return fmt.Sprintf("%s %5.1f%%", operations(x.Components[i].TrainStep),
				100*x.Components[i].TrainStep/x.Operations.TrainStep)
		}))
	}
	return rows
}

func configLine(c layers.Config) string {
	head := fmt.Sprintf("%d classes", c.NumClasses)
	if c.LanguageModel() {
		head = "language model"
	}
	line := fmt.Sprintf("dim %d, depth %d, heads %d, vocabulary %d, max-len %d, %s", c.Dim, c.Depth, c.Heads, c.VocabSize,
		c.MaxLen, head)
	if c.Architecture.HasMemory() {
		line += fmt.Sprintf(", %d memory slots", c.EpisodicSlots)
	}
	switch {
	case c.Architecture != layers.SynapNet:
		return string(c.Architecture) + ": " + line
	case c.UseScaleBridge:
		return line + ", ScaleBridge"
	}
	return line + ", no ScaleBridge"
}

// grouped writes a whole number with commas between thousands.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// megabytes keeps a decimal where the number is small.
func megabytes(bytes int) string {
	switch {
	case bytes < 1e6:
		return fmt.Sprintf("%.0f kB", float64(bytes)/1e3)
	case bytes < 10e6:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return grouped(int(math.Round(float64(bytes)/1e6))) + " MB"
}

func operations(n float64) string {
	if n < 1e3 {
		return fmt.Sprintf("%.0f FLOP", n)
	}
	return fmt.Sprintf("%.2f MFLOP", n/1e6)
}
