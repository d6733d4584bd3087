// Package hardware has the experiments on what a model needs of a computer: memory, energy, throughput under load, its
// form and speed on each tier of devices, and which variants no other one beats in all of these.
package hardware
