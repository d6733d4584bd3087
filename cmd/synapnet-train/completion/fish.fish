# fish completion for synapnet-train: synapnet-train completion fish > ~/.config/fish/completions/synapnet-train.fish
function __synapnet_train_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    string match -q -- '-*' $current; and set -a words $current
    $words --generate-bash-completion 2>/dev/null
end
complete -c synapnet-train -a '(__synapnet_train_complete)'
