//go:build !linux && !darwin

package host

// SystemMemory is not known here.
func SystemMemory() Memory { return Memory{} }

func machineRoom() Room     { return Room{} }
func groupRoom() Room       { return Room{} }
func addressRoom(bool) Room { return Room{} }
