// Package measure has what several experiments measure with: accuracies on tasks, forward passes that are timed,
// processes of their own whose memory is theirs alone, and the energy that the processor took.
package measure
