#compdef synapnet-train
# zsh completion for synapnet-train: synapnet-train completion zsh > a folder of $fpath, as _synapnet-train
_synapnet_train() {
	local cur=${words[CURRENT]}
	local -a before options
	before=("${(@)words[2,CURRENT-1]}")
	[[ $cur == -* ]] && before+=("$cur")
	options=(${(f)"$(${(Q)words[1]} "${before[@]}" --generate-bash-completion 2>/dev/null)"})
	if (( $#options )); then
		compadd -- $options
	else
		_files
	fi
}
compdef _synapnet_train synapnet-train
