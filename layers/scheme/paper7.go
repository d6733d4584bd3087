package scheme

// Paper7 is SEQ2 with the seven multiples of 0.5 in -1.5 … 1.5 as levels: what the paper's code does, which calls it
// 2-bit. It needs three bits, is here for comparison only and has no packed form.
var Paper7 = &Scheme{
	Name: "paper7", Doc: "7 levels with a learned step a row, which 2 bits cannot hold", Bits: 3,
	Fake:  sevenLevels.fake,
	Least: SEQ2.Least, LeastOf: SEQ2.LeastOf,
	Steps: &Steps{Initial: sevenLevels.initial, Stored: storedSteps},
}
