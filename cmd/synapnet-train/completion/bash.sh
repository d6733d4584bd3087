# bash completion for synapnet-train: synapnet-train completion bash > ~/.local/share/bash-completion/completions/synapnet-train
_synapnet_train() {
	local IFS=$'\n' cur=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]/#\~/$HOME}
	local words=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
	[[ $cur == -* ]] && words+=("$cur")
	COMPREPLY=($(compgen -W "$("$program" "${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
# Where nothing of the program's own fits, the names of files do.
complete -o bashdefault -o default -F _synapnet_train synapnet-train
