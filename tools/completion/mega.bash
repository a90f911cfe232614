# bash completion of mega-run and mega-convert.

_mega_files() { # PATTERN: folders, and files that match
    local IFS=$'\n'
    compopt -o filenames
    COMPREPLY=($(compgen -d -- "$current") $(compgen -f -X "!$1" -- "$current"))
}

_mega_run()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local commands="answer bench choose classify detokenize embed eval explain fill forward generate info inspect models plot score serve tag tokenize translate verify help"
    local options
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W "$commands --help --version" -- "$current"))
        return
    fi
    case ${COMP_WORDS[1]} in
    help)
        [ "$COMP_CWORD" = 2 ] && COMPREPLY=($(compgen -W "${commands% help}" -- "$current"))
        return
        ;;
    answer)
        options="--model --question --top --max-answer --window --stride --allow-none --no-align
            --bytes --text --lines --column --json --threads --cpu --precision --max-memory --verbose
            --shard --results --help"
        ;;
    choose)
        options="--model --json --threads --cpu --precision --max-memory --verbose --help"
        ;;
    embed)
        options="--model --pooled --text --lines --column --json --threads --cpu --precision --max-memory
            --shard --results --help"
        ;;
    fill)
        options="--model --top --targets --text --lines --column --json --threads --cpu --precision --max-memory
            --shard --results --help"
        ;;
    tag)
        options="--model --group --all --bytes --text --lines --column --json --threads --cpu --precision --max-memory
            --shard --results --help"
        ;;
    bench)
        options="--model --input --length --tokens --beam --batch --repeats --breakdown --format --json
            --threads --cpu --precision --max-memory --quiet --verbose --help"
        ;;
    classify)
        options="--model --top --text --pair --lines --column --json --window --hop --stateful --rate --threshold --smooth --ignore --ends --raw
            --partial --ids --no-orient --files-from --null
            --threads --cpu --precision --max-memory --time --quiet --verbose --shard --results --help"
        ;;
    detokenize) options="--model --lines --special --clean-up --side --json
            --shard --results --help" ;;
    eval)
        options="--model --root --split --limit --predictions --partial --json --no-orient
            --threads --cpu --precision --max-memory --quiet
            --verbose --help"
        ;;
    explain)
        options="--model --output --text --question --raw --partial --ids --no-orient --pre-tokenized --json
            --threads --cpu --precision --max-memory --help"
        ;;
    forward)
        options="--model --in --types --cache --no-cache --target --rate --pieces --chunk --output --stage --input --json
            --threads --cpu --precision --max-memory
            --verbose --help"
        ;;
    generate)
        options="--model --max-tokens --greedy --temperature --top-k --top-p --repetition-penalty
            --seed --text --no-prompt --echo --stop --ignore-eos --n --chunk --ids --json
            --threads --cpu --precision --max-memory
            --verbose --help"
        ;;
    info) options="--json --help" ;;
    inspect) options="--tensors --json --help" ;;
    models) options="--json --help" ;;
    plot) options="--model --output --layer --json --help" ;;
    score)
        options="--model --text --document --eos --per-token --tokens-per-sample
            --context-window --chunk --ids --pre-tokenized --json
            --threads --cpu --precision --max-memory --quiet --verbose --shard --results --help"
        ;;
    serve)
        options="--model --host --api-key-file --no-key --port --cors --max-body --timeout --parallel
            --queue --batch --streams --threads --cpu --precision --max-memory --quiet --verbose --help"
        ;;
    tokenize)
        options="--model --text --pair --lines --no-special --max-length --truncate --stride --bytes
            --side --json --shard --results --help"
        ;;
    translate)
        options="--model --to --beam --nbest --lenpen --unnormalized --max-len-a --max-len-b
            --min-len --no-repeat-ngram --text --prefix --unk-penalty --temperature --warn-below --scores
            --alignments --json --ids --pre-tokenized --batch
            --threads --cpu --precision --max-memory --quiet --verbose --shard --results --help"
        ;;
    verify) options="--json --quiet --help" ;;
    *) return ;;
    esac
    case $previous in
    -m | --model) _mega_files '*.mega' ;;
    --root) COMPREPLY=($(compgen -d -- "$current")) ;;
    --raw) COMPREPLY=($(compgen -W "s16le:16000:1 f32le:16000:1" -- "$current")) ;;
    --format) COMPREPLY=($(compgen -W "text markdown csv json" -- "$current")) ;;
    --side) COMPREPLY=($(compgen -W "source target" -- "$current")) ;;
    --truncate) COMPREPLY=($(compgen -W "longest first second" -- "$current")) ;;
    --precision) COMPREPLY=($(compgen -W "f32 bf16" -- "$current")) ;;
    --cpu) COMPREPLY=($(compgen -W "generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas" -- "$current")) ;;
    --group) COMPREPLY=($(compgen -W "simple first average max" -- "$current")) ;;
    --length | --tokens | --repeats) ;;
    --input) [ "${COMP_WORDS[1]}" = bench ] && _mega_files '*' ;;
    --in | --types | --target) _mega_files '*.npy' ;;
    --files-from | --predictions | --results | --api-key-file | -o | --output) _mega_files '*' ;;
    --top | --window | --hop | --rate | --threshold | --smooth | --ignore | -t | --threads | --max-memory) ;;
    --split | --shard | --limit | --pieces | --chunk | -s | --stage | --layer) ;;
    -n | --max-tokens | --temperature | --top-k | --top-p | --repetition-penalty | --seed) ;;
    --column | --targets | --question | --max-answer) ;;
    --stop | -p | --text | --n | --beam | --nbest | --lenpen | --max-len-a | --max-len-b | --min-len) ;;
    --pair | --max-length | --stride | --tokens-per-sample | --context-window) ;;
    --host | --port | --cors | --max-body | --timeout | --parallel | --queue | --streams) ;;
    --no-repeat-ngram | --prefix | --unk-penalty | --warn-below | --to | --batch) ;;
    *)
        case ${COMP_WORDS[1]},$current in
        *,-*) COMPREPLY=($(compgen -W "$options" -- "$current")) ;;
        models,* | detokenize,* | serve,*) ;;
        info,* | inspect,* | plot,* | verify,*) _mega_files '*.mega' ;;
        *) _mega_files '*' ;;
        esac
        ;;
    esac
}

_mega_convert()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    case $previous in
    -o | --output) _mega_files '*.mega' ;;
    --config) _mega_files '*.json' ;;
    --dict | --vocab | --source-dict | --target-dict | --labels) _mega_files '*' ;;
    --bpe-codes | --bpe-vocabulary) _mega_files '*' ;;
    --unknown) COMPREPLY=($(compgen -W "run each" -- "$current")) ;;
    --tokenizer) COMPREPLY=($(compgen -W "space word char byte moses symbols characters bytes" -- "$current")) ;;
    --capitals) COMPREPLY=($(compgen -W "keep lower" -- "$current")) ;;
    --weights) COMPREPLY=($(compgen -W "model ema" -- "$current")) ;;
    --dtype) COMPREPLY=($(compgen -W "f32 f16 bf16 int8 int4" -- "$current")) ;;
    --source-lang | --target-lang) COMPREPLY=($(compgen -W "de en" -- "$current")) ;;
    --bpe-threshold | --bpe-glossary | --audio-rate | --audio-mean | --audio-std) ;;
    --audio-length | --pixel-mean | --pixel-std | --chunk-size | --keep-kernels | --max-memory) ;;
    --special | --template | --name | --license | --source) ;;
    *)
        case $current in
        -*)
            COMPREPLY=($(compgen -W "--output --config --dict --vocab --special --template --upper --lower --unknown --source-dict --target-dict
                --tokenizer --capitals --tokenizer-only --source-lang --target-lang --bpe-codes --bpe-vocabulary
                --bpe-threshold --bpe-glossary --labels --audio-rate --audio-mean --audio-std
                --audio-length --pixel-mean --pixel-std --chunk-size --weights --allow-non-finite --dtype
                --keep-kernels --no-compress --max-memory --name --license --source --default --list --json --force --quiet --verbose --help --version" -- "$current"))
            ;;
        *) _mega_files '*' ;;
        esac
        ;;
    esac
}

complete -F _mega_run mega-run
complete -F _mega_convert mega-convert
