#compdef mega-run mega-convert
# zsh completion of mega-run and mega-convert.

_mega_run() {
    local -a commands=(
        'answer:find the answer to a question in a text'
        'choose:choose the text that goes best with another'
        'embed:compute the vectors that a model makes of texts'
        'fill:fill the masks of a text'
        'tag:label the words of a text'
        'bench:measure how fast a model runs here, and how fast it could'
        'classify:name what is in recordings, pictures and texts'
        'detokenize:turn tokens back into text'
        'eval:measure the accuracy of a model on a list of labelled files'
        'explain:draw what a model looked at in an input'
        'forward:run arrays through a model, up to any stage'
        'generate:continue a text with a language model'
        'info:say what a model is for, and what it cannot do'
        'inspect:show what a model file holds'
        'models:list the models that are found'
        'plot:draw what a model learned'
        'score:compute how probable a model finds texts'
        'serve:answer requests over HTTP'
        'tokenize:show the tokens that a model reads of a text'
        'translate:translate texts line by line'
        'verify:check all checksums of a model file'
        'help:explain a command'
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        _arguments --help --version
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
    help)
        commands=(${commands:#help:*})
        _describe command commands
        ;;
    answer)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '--question=[the question]:question: ' \
            '--top=[how many answers]:top: ' \
            '--max-answer=[tokens of an answer at most]:max-answer: ' \
            '--window=[tokens of a window, with the question]:window: ' \
            '--stride=[tokens that two windows have in common]:stride: ' \
            '--allow-none[an empty line if no answer is likelier]' \
            '--no-align[an answer may begin and end within words]' \
            '--bytes[places count bytes]' \
            '--text=[the input is TEXT, even if it looks like a file]:text: ' \
            '--lines[each line of the files is an input]' \
            '--column=[that column of CSV or TSV files]:column: ' \
            '--json[one line of JSON for each input]' \
            '(-t --threads)'{-t,--threads=}'[threads (one for each processor)]:threads: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '(-v --verbose)'{-v,--verbose}'[print score and place of an answer before it]' \
            '--shard=[the I-th of N parts of the inputs]:I/N: ' \
            '--results=[print to FILE, which appears when complete]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    choose)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '--json[all choices as JSON, the best first]' \
            '(-t --threads)'{-t,--threads=}'[threads (one for each processor)]:threads: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '(-v --verbose)'{-v,--verbose}'[print all choices with their scores]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    embed)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '--pooled[one vector for each text]' \
            '--text=[the input is TEXT, even if it looks like a file]:text: ' \
            '--lines[each line of the files is an input]' \
            '--column=[that column of CSV or TSV files]:column: ' \
            '--json[one line of JSON for each input]' \
            '(-t --threads)'{-t,--threads=}'[threads (one for each processor)]:threads: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '--shard=[the I-th of N parts of the inputs]:I/N: ' \
            '--results=[print to FILE, which appears when complete]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    fill)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '--top=[how many tokens]:top: ' \
            '--targets=[only these tokens, separated by commas]:targets: ' \
            '--text=[the input is TEXT, even if it looks like a file]:text: ' \
            '--lines[each line of the files is an input]' \
            '--column=[that column of CSV or TSV files]:column: ' \
            '--json[one line of JSON for each input]' \
            '(-t --threads)'{-t,--threads=}'[threads (one for each processor)]:threads: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '--shard=[the I-th of N parts of the inputs]:I/N: ' \
            '--results=[print to FILE, which appears when complete]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    tag)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '--group=[how neighbours of one label are joined]:how:(simple first average max)' \
            '--all[print what is labelled O, too]' \
            '--bytes[places in JSON count bytes]' \
            '--text=[the input is TEXT, even if it looks like a file]:text: ' \
            '--lines[each line of the files is an input]' \
            '--column=[that column of CSV or TSV files]:column: ' \
            '--json[one line of JSON for each input]' \
            '(-t --threads)'{-t,--threads=}'[threads (one for each processor)]:threads: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '--shard=[the I-th of N parts of the inputs]:I/N: ' \
            '--results=[print to FILE, which appears when complete]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    bench)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '--input=[a recording, picture or text]:file:_files' \
            '--length=[samples, pixels or tokens]:n: ' \
            '--tokens=[tokens to make (25; 64 for a language model)]:n: ' \
            '--beam=[of a translator (1)]:n: ' \
            '--batch=[sources at a time (1)]:n: ' \
            '--repeats=[measured runs, after one warm-up run (5)]:n: ' \
            '--breakdown[where the time goes]' \
            '--format=[text (default), markdown, csv or json]:name:(text markdown csv json)' \
            '--json[as --format json]' \
            '(-q --quiet)'{-q,--quiet}'[no progress]' \
            '(-v --verbose)'{-v,--verbose}'[report the model, how it runs and its speed]' \
            {-t,--threads=}'[number of threads]:n: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '(-h --help)'{-h,--help}'[show this help]'
        ;;
    classify)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '--top=[the K best labels, one a line (1)]:k: ' \
            '--json[one JSON object a line]' \
            '--text=[the input is TEXT, even if it looks like a file]:text: ' \
            '--pair=[a second text, which belongs to the first]:text: ' \
            '--lines[each line of text files is an input]' \
            '--column=[that column of CSV or TSV files]:name: ' \
            '--window=[classify windows of S seconds of a recording]:s: ' \
            '--hop=[seconds from one window to the next]:s: ' \
            '--stateful[run a recording through a causal S4 once, not window by window]' \
            '--rate=[for S4\: sound has the model'\''s sampling rate divided by X (1)]:x: ' \
            '--threshold=[events whose probability reaches P (0 to 1)]:p: ' \
            '--smooth=[windows that are averaged for events (3)]:n: ' \
            '*--ignore=[no events of these labels]:labels: ' \
            '--ends[print events when they end]' \
            '--raw=[input is headerless PCM, such as s16le\:16000\:1]:fmt:(s16le\:16000\:1 f32le\:16000\:1)' \
            '--partial[accept a recording that is cut short]' \
            '--ids[input is token ids, used as they are]' \
            '--no-orient[pictures as they are stored]' \
            '--files-from=[read input paths from FILE, one a line; '\''-'\'' is standard input]:file:_files' \
            '(-0 --null)'{-0,--null}'[the paths of --files-from end in NUL]' \
            {-t,--threads=}'[number of threads]:n: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '--time[print how long loading, reading and running took]' \
            '(-q --quiet)'{-q,--quiet}'[no message about inputs that fail]' \
            '(-v --verbose)'{-v,--verbose}'[report the model, how it runs and its speed]' \
            '--shard=[the I-th of N parts of the inputs]:I/N: ' \
            '--results=[print to FILE, which appears when complete]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    detokenize)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model (the shipped language model)]:file:_files -g "*.mega"' \
            '--lines[each line of standard input is a text of its own]' \
            '--special[keep special tokens in the text]' \
            '--clean-up[leave out blanks before punctuation and English endings]' \
            '--side=[of a translator]:side:(source target)' \
            '--json[one JSON object for each text]' \
            '--shard=[the I-th of N parts of the inputs]:I/N: ' \
            '--results=[print to FILE, which appears when complete]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:id: '
        ;;
    eval)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '--root=[what paths are relative to (the list'\''s folder)]:folder:_files -/' \
            '--split=[only rows whose column '\''split'\'' is NAME]:name: ' \
            '--limit=[only the first N rows or lines]:n: ' \
            '--predictions=[write the prediction of every row]:file:_files' \
            '--partial[accept recordings that are cut short]' \
            '--json[one JSON object]' \
            '--no-orient[pictures as they are stored]' \
            {-t,--threads=}'[number of threads]:n: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '(-q --quiet)'{-q,--quiet}'[no progress, no message about inputs that fail]' \
            '(-v --verbose)'{-v,--verbose}'[report the model, how it runs and its speed]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    explain)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '(-o --output)'{-o,--output=}'[the picture, .svg or .png]:file:_files' \
            '--text=[the input is TEXT, even if it looks like a file]:text: ' \
            '--question=[what a model that answers questions looks for]:text: ' \
            '--raw=[input is headerless PCM, such as s16le\:16000\:1]:fmt:(s16le\:16000\:1 f32le\:16000\:1)' \
            '--partial[accept a recording that is cut short]' \
            '--ids[input is token ids, used as they are]' \
            '--no-orient[a picture as it is stored]' \
            '--pre-tokenized[text is tokenised already]' \
            {-t,--threads=}'[number of threads]:n: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '--json[print what was drawn as JSON]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    forward)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '--in=[input array (.npy)]:file:_files -g "*.npy"' \
            '--types=[token types of the input (.npy)]:file:_files -g "*.npy"' \
            '--cache[compute as a class of the hub does with a cache]' \
            '--no-cache[compute as a class of the hub does without a cache]' \
            '--target=[of a translator\: token ids that the decoder reads (.npy)]:file:_files -g "*.npy"' \
            '--rate=[for S4\: the input holds every X-th position (1)]:x: ' \
            '--pieces=[positions at a time\: of a causal S4, or a model with chunks]:n: ' \
            '--chunk=[another chunk of a rotary decoder; 0\: none]:n: ' \
            '(-o --output)'{-o,--output=}'[output array, float32; '\''-'\'' is standard output]:file:_files' \
            {-s,--stage=}'[what to write (logits); '\''list'\'' prints the names]:name: ' \
            '--input=[of a pair model\: the stage of which input, 0 or 1 (0)]:k: ' \
            '--json[print what was written as JSON]' \
            {-t,--threads=}'[number of threads]:n: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '(-v --verbose)'{-v,--verbose}'[report the model, how it runs and its speed]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    generate)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model (the shipped language model)]:file:_files -g "*.mega"' \
            {-n,--max-tokens=}'[at most N tokens (256)]:n: ' \
            '--greedy[always the most probable token]' \
            '--temperature=[below 1, unlikely tokens become rarer (1)]:x: ' \
            '--top-k=[only the K most probable tokens (off)]:k: ' \
            '--top-p=[only the most probable tokens, up to a probability of P (off)]:p: ' \
            '--repetition-penalty=[make tokens that occurred before less probable (1\: off)]:x: ' \
            {-s,--seed=}'[the same seed gives the same text (random)]:n: ' \
            {-p,--text=}'[the prompt, even if it looks like a file]:text: ' \
            '--no-prompt[leave the prompt out of the JSON of a model from the hub]' \
            '--echo[print the prompt, too]' \
            '*--stop=[stop before TEXT; may be given several times]:text: ' \
            '--ignore-eos[do not stop at </s>]' \
            '--n=[N samples, one after the other (1)]:n: ' \
            '--chunk=[another chunk size, for a model with rotary bias; 0\: none]:n: ' \
            '--ids[prompt and continuation are token ids, nothing added]' \
            '--json[one JSON object for each sample]' \
            {-t,--threads=}'[number of threads]:n: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '(-v --verbose)'{-v,--verbose}'[report the model, how it runs and its speed]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    info)
        _arguments -s \
            '--json[one JSON object for each model]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:model:_files -g "*.mega"'
        ;;
    inspect)
        _arguments -s \
            '--tensors[list every tensor]' \
            '--json[print everything as JSON, one line for each file]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:model:_files -g "*.mega"'
        ;;
    models)
        _arguments -s '--json[one JSON object a line]' '(-h --help)'{-h,--help}'[show this help]'
        ;;
    plot)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model]:file:_files -g "*.mega"' \
            '(-o --output)'{-o,--output=}'[the picture, .svg or .png]:file:_files' \
            '--layer=[only layer N of each stack]:n: ' \
            '--json[print what was drawn as JSON]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            ':model:_files -g "*.mega"'
        ;;
    score)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model (the shipped language model)]:file:_files -g "*.mega"' \
            '--text=[score TEXT, even if it looks like a file]:text: ' \
            '--document[each file is one text]' \
            '--eos[</s> at the end of a text is scored too]' \
            '--per-token[every symbol and its log-probability, one a line]' \
            '--tokens-per-sample=[a language model reads pieces of so many tokens]:n: ' \
            '--context-window=[tokens that a piece repeats and does not score again (0)]:n: ' \
            '--chunk=[another chunk size, for a model with rotary bias; 0\: none]:n: ' \
            '--ids[texts are token ids, nothing added at their end]' \
            '--pre-tokenized[text is tokenised already]' \
            '--json[one JSON object for each text]' \
            {-t,--threads=}'[number of threads]:n: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '(-q --quiet)'{-q,--quiet}'[no progress]' \
            '(-v --verbose)'{-v,--verbose}'[report the model, how it runs and its speed]' \
            '--shard=[the I-th of N parts of the inputs]:I/N: ' \
            '--results=[print to FILE, which appears when complete]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    serve)
        _arguments -s \
            '*'{-m,--model=}'[a model]:file:_files -g "*.mega"' \
            '--host=[where to listen (127.0.0.1)]:address: ' \
            '--api-key-file=[requests need a key of this file]:file:_files' \
            '--no-key[requests from other machines need no key]' \
            '--port=[(8080; 0\: any that is free)]:n: ' \
            '*--cors=[pages of this origin may ask]:origin: ' \
            '--max-body=[largest body of a request (64M)]:size: ' \
            '--timeout=[seconds for a client to send a request (30)]:s: ' \
            '--parallel=[requests that run at a time (2)]:n: ' \
            '--queue=[requests that may wait (256)]:n: ' \
            '--batch=[lines that are translated together (16)]:n: ' \
            '--streams=[streams of sound at a time (8)]:n: ' \
            {-t,--threads=}'[number of threads]:n: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '(-q --quiet)'{-q,--quiet}'[only errors]' \
            '(-v --verbose)'{-v,--verbose}'[say what was asked and how long the answer took]' \
            '(-h --help)'{-h,--help}'[show this help]'
        ;;
    tokenize)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model (the shipped language model)]:file:_files -g "*.mega"' \
            '--text=[tokenize TEXT, even if it looks like a file]:text: ' \
            '--pair=[a second text, for models that take two]:text: ' \
            '--lines[each line is a text]' \
            '--no-special[no special tokens around the text]' \
            '--max-length=[cut to N tokens, special ones included]:n: ' \
            '--truncate=[which of two texts is cut]:which:(longest first second)' \
            '--stride=[do not cut but print windows that overlap by N tokens]:n: ' \
            '--bytes[places count bytes]' \
            '--side=[of a translator]:side:(source target)' \
            '--json[one JSON object for each text]' \
            '--shard=[the I-th of N parts of the inputs]:I/N: ' \
            '--results=[print to FILE, which appears when complete]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    translate)
        _arguments -s \
            '(-m --model)'{-m,--model=}'[the model (the shipped translator)]:file:_files -g "*.mega"' \
            '--to=[the language to translate into]:language:(de en)' \
            '--beam=[width of the beam (5)]:n: ' \
            '--nbest=[print the K best, one a line (1)]:k: ' \
            '--lenpen=[divide scores by length^X (1)]:x: ' \
            '--unnormalized[do not divide scores by the length]' \
            '--max-len-a=[at most so many tokens for each source token]:x: ' \
            '--max-len-b=[so many tokens more]:n: ' \
            '--min-len=[at least N tokens (1)]:n: ' \
            '--no-repeat-ngram=[never repeat N tokens in a row, 2 or more (off)]:n: ' \
            '--text=[translate TEXT, even if it looks like a file]:text: ' \
            '--prefix=[every translation begins with TEXT]:text: ' \
            '--unk-penalty=[subtract X from the score of unknown words (0)]:x: ' \
            '--temperature=[divide the logits by X (1)]:x: ' \
            '--warn-below=[warn if a translation has a lower mean log-probability]:x: ' \
            '--scores[print the score and a TAB before each translation]' \
            '--alignments[print a TAB and pairs '\''source-target'\'' of symbols after it]' \
            '--json[one JSON object a line]' \
            '--ids[token ids in and out, nothing added or removed]' \
            '--pre-tokenized[input is tokenised already, and output stays tokenised]' \
            '--batch=[lines that are translated together (1)]:n: ' \
            {-t,--threads=}'[number of threads]:n: ' \
            '--cpu=[kernels (the best of this machine)]:kernels:(generic avx2 avx2vnni avx512 avx512vnni amx dotprod openblas)' \
            '--precision=[how floats are multiplied]:type:(f32 bf16)' \
            '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
            '(-q --quiet)'{-q,--quiet}'[no progress]' \
            '(-v --verbose)'{-v,--verbose}'[report the model, how it runs and its speed]' \
            '--shard=[the I-th of N parts of the inputs]:I/N: ' \
            '--results=[print to FILE, which appears when complete]:file:_files' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:input:_files'
        ;;
    verify)
        _arguments -s \
            '--json[one JSON object for each file]' \
            '(-q --quiet)'{-q,--quiet}'[print nothing for a file without damage]' \
            '(-h --help)'{-h,--help}'[show this help]' \
            '*:model:_files -g "*.mega"'
        ;;
    esac
}

_mega_convert() {
    _arguments -s \
        '(-o --output)'{-o,--output=}'[the model file to write]:file:_files' \
        '--config=[arguments of the original as JSON, where the checkpoint has none]:file:_files -g "*.json"' \
        '--dict=[dictionary of a text model]:file:_files' \
        '--vocab=[vocabulary of an S4 model, a JSON list of tokens]:file:_files' \
        '--source-dict=[dictionary of the source side]:file:_files' \
        '--target-dict=[dictionary of the target side]:file:_files' \
        '--special=[of a model folder\: cls=<s>,sep=</s>]:list: ' \
        '--template=[what stands around a text\: cls A sep]:text: ' \
        '--upper[letters are looked up in upper case]' \
        '--lower[letters are looked up in lower case]' \
        '--unknown=[what unknown characters become]:which:(run each)' \
        '--capitals=[how a translator reads texts in capitals\: keep (default), or lower]:how:(keep lower)' \
        '--tokenizer-only[only the tokenizer of a folder of the Hugging Face hub]' \
        '--tokenizer=[of raw text]:name:(space word char byte moses symbols characters bytes)' \
        '--source-lang=[source language, for moses]:language:(de en)' \
        '--target-lang=[target language, for moses]:language:(de en)' \
        '--bpe-codes=[merges of subword-nmt]:file:_files' \
        '--bpe-vocabulary=[vocabulary of subword-nmt]:file:_files' \
        '--bpe-threshold=[least count in that vocabulary]:n: ' \
        '*--bpe-glossary=[expression that is never cut]:regex: ' \
        '--labels=[class names\: a file, one a line, or names separated by commas]:file:_files' \
        '--audio-rate=[rate the model was trained at (16000)]:hz: ' \
        '--audio-mean=[mean of the training samples]:x: ' \
        '--audio-std=[standard deviation of the training samples]:x: ' \
        '--audio-length=[samples of a clip; 0\: any]:n: ' \
        '--pixel-mean=[mean of the training pixels]:x: ' \
        '--pixel-std=[standard deviation of the training pixels]:x: ' \
        '--chunk-size=[other chunk size than in training; 0\: none]:n: ' \
        '--weights=[where there are both\: model (default), or ema, their average]:which:(model ema)' \
        '--allow-non-finite[convert weights that are NaN or infinite]' \
        '--dtype=[of the matrices\: f32 (default), f16, bf16, int8 or int4]:type:(f32 f16 bf16 int8 int4)' \
        '--keep-kernels=[for S4\: keep the kernels for inputs of N positions (0\: none)]:n: ' \
        '--no-compress[larger file, used in place without decoding]' \
        '--max-memory=[use at most SIZE, such as 300M; refuse what needs more]:size: ' \
        '--name=[name of the model]:text: ' \
        '--license=[licence of the model]:text: ' \
        '--source=[where the model comes from]:text: ' \
        '--default[without -m, mega-run takes this model before others of its folder]' \
        '--list[print tensors and arguments of a checkpoint]' \
        '--json[print what was written, or is listed, as JSON]' \
        '--force[overwrite; leave out unknown tensors]' \
        '(-q --quiet)'{-q,--quiet}'[no notes and no progress]' \
        '(-v --verbose)'{-v,--verbose}'[say what was found and written, how fast and in what memory]' \
        '(-h --help)'{-h,--help}'[show this help]' \
        '--version[show the version]' \
        ':checkpoint:_files'
}

case $service in
mega-run) _mega_run ;;
mega-convert) _mega_convert ;;
esac
