package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asProgram in the environment makes the test's binary the program.
const asProgram = "SYNAPNET_TEST_PROGRAM"

// What may follow: commands, actions of one, flags that begin so; nothing, so that the shell offers files, where a
// value or an argument stands.
func TestCompletions(t *testing.T) {
	for line, want := range map[string]string{
		"": "pretrain cajq-qat cajq-3phase baee-train baee-grid experiments stream export inspect eval info runs plot " +
			"bench conform doctor completion man help",
		"experiments":                   "list run settings report convert",
		"experiments run":               "",
		"experiments run --pro":         "--profile",
		"experiments list --profile":    "full quick strong",
		"eval --sa":                     "--sample-keys --samples",
		"eval model.safetensors --sa":   "--sample-keys --samples",
		"eval":                          "",
		"export --output":               "--output",
		"eval --benchmark":              "babilong longbench longbench-v2 ruler",
		"eval --bench":                  "--benchmark",
		"pretrain --recipe":             "reference strong",
		"info --recipe":                 "reference strong",
		"pretrain --init":               "published induction --init-from",
		"completion":                    "bash fish zsh",
		"--ver":                         "--version",
		"nonsense":                      "",
		"nonsense --sa":                 "",
		"pretrain --curriculum 32 --lr": "--lr",
	} {
		stdout := success(t, append(strings.Fields(line), completionFlag)...)
		if got := strings.Join(strings.Fields(stdout), " "); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

// Each shell that is there reads its script.
func TestCompletionScriptsAreRead(t *testing.T) {
	for shell := range completionFiles {
		path, err := exec.LookPath(shell)
		if errors.Is(err, exec.ErrNotFound) {
			t.Logf("no %s here", shell)
			continue
		}
		script := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(script, []byte(success(t, "completion", shell)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(path, "-n", script).CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v %s", shell, err, out)
		}
	}
	mistakes(t, map[string]string{
		"completion":      "name a shell: bash, zsh or fish; see",
		"completion tcsh": `name one shell, bash, zsh or fish, not "tcsh"`,
		"completion a b":  `name one shell, bash, zsh or fish, not "a b"`,
	})
}

// Bash completes commands, actions and flags of the program, by whatever path, and otherwise files. The program is this
// test's binary, see asProgram.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "my bin")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, program)
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	complete := func(words ...string) string {
		t.Helper()
		script := success(t, "completion", "bash") + `
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _synapnet_train; printf '%s ' "${COMPREPLY[@]}"`
		cmd := exec.Command(bash, append([]string{"-c", script, "bash", program}, words...)...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	for line, want := range map[string]string{
		"ba": "baee-train baee-grid", "experiments r": "run report", "eval --sa": "--sample-keys --samples", "eval m": "",
	} {
		if got := complete(strings.Split(line, " ")...); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	if got := complete("experiments", ""); got != "list run settings report convert" {
		t.Errorf("%q", got)
	}
}

// The manual page has every command with its description and its flags; help says nothing of what is not the case.
func TestManAndHelp(t *testing.T) {
	page := success(t, "man")
	for _, want := range []string{".TH synapnet-train 1\n", ".SH pretrain\n", ".SH experiments run\n",
		`\fB--curriculum\fP`, "Without flags this is the reference recipe"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	for _, c := range commands() {
		if help := success(t, "help", c.Name); strings.Contains(help, "(default: false)") {
			t.Errorf("%s: %s", c.Name, help)
		}
	}
}
