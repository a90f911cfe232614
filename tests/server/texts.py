"""Texts of requests are read as commands read files."""
import json

from support import MODELS, Server, check, equal


def test_texts_as_commands_read_them(_):
    """Byte order marks, line ends and UTF-16 are taken as in files; a file is not taken for a text."""
    text = {'Content-Type': 'text/plain'}
    with Server(models=[MODELS / 'shakespeare-lm', MODELS / 'everyday-en-de']) as server:
        def translated(body, headers):
            status, _, content = server.ask('/v1/translate', body, headers)
            equal(status, 200, content)
            return json.loads(content)['translatedText']

        expected = translated(b'A dog.\nA cat.', text)
        for body in (b'A dog.\rA cat.', b'A dog.\r\nA cat.', b'\xef\xbb\xbfA dog.\nA cat.'):
            equal(translated(body, text), expected, body)
            quoted = json.dumps({'q': body.decode()}).encode()
            equal(translated(quoted, {'Content-Type': 'application/json'}), expected, quoted)
        said = server.refuse(400, 'MEGA_ERR_FORMAT', '/v1/translate', 'A\nB\n'.encode('utf-16'), text)[1]
        check('iconv' in said, said)
        # A text that looks like the beginning of a file is still a text.
        translated(json.dumps({'q': 'GIF89a is a format.'}).encode(),
                   {'Content-Type': 'application/json'})

        def completed(body, headers):
            status, _, content = server.ask('/v1/completions', body, headers)
            equal(status, 200, content)
            return json.loads(content)

        fields = {'prompt': 'ROMEO:\r\nI', 'max_tokens': 8, 'temperature': 0}
        windows = completed(json.dumps(fields).encode(), {})  # a body without a type
        fields['prompt'] = 'ROMEO:\nI'
        unix = completed(json.dumps(fields).encode(), {'Content-Type': 'application/json'})
        equal(windows['choices'], unix['choices'], 'line ends of a prompt')
        equal(windows['usage'], unix['usage'], 'tokens of a prompt')
        fields = {'prompt': 'é日\nA', 'max_tokens': 0, 'echo': True, 'logprobs': 1}
        places = completed(json.dumps(fields).encode(), {})['choices'][0]['logprobs']['text_offset']
        equal(places, [0, 1, 2, 3], 'places of tokens')
        for path in ('/v1/completions', '/v1/translate', '/v1/tokenize', '/v1/embeddings'):
            said = server.refuse(415, 'MEGA_ERR_UNSUPPORTED', path, b'ROMEO:',
                                 {'Content-Type': 'application/octet-stream'})[1]
            check('no file' in said, said)
