"""A server answers some pages and hosts, and refuses others."""
from support import MODELS, Server, check, equal


def test_hosts_and_origins(server):
    for host in ('localhost', '127.0.0.1', f'127.0.0.1:{server.port}', '[::1]:80', 'LOCALHOST:1'):
        equal(server.ask('/health', headers={'Host': host})[0], 200, host)
    for host in ('evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '10.0.0.1',
                 '[2001:db8::1]', '127.0.0.1@evil.example', ''):
        equal(server.ask('/health', headers={'Host': host})[0] in (400, 403), True, host)
    server.refuse(403, 'MEGA_ERR_ARGUMENT', '/v1/models', headers={'Host': 'evil.example'})
    own = f'http://127.0.0.1:{server.port}'
    equal(server.ask('/v1/models', headers={'Origin': own})[0], 200, 'own page')
    for origin in ('https://evil.example', 'null', 'http://127.0.0.1:1', own + '.evil.example',
                   'http://evil.example@127.0.0.1'):
        headers, _ = server.refuse(403, 'MEGA_ERR_ARGUMENT', '/v1/translate', {'q': 'a'},
                                   {'Origin': origin})
        check('Access-Control-Allow-Origin' not in headers, 'an invitation')
    equal(server.ask('/v1/translate', method='OPTIONS',
                     headers={'Origin': 'https://evil.example'})[0], 403, 'preflight')


def test_cors(_):
    with Server('--cors', 'https://a.example', models=[MODELS / 'cifar10']) as server:
        status, headers, _ = server.ask('/v1/models', headers={'Origin': 'https://a.example'})
        equal((status, headers['Access-Control-Allow-Origin']), (200, 'https://a.example'), 'cors')
        status, headers, _ = server.ask('/v1/classify', method='OPTIONS', headers={
            'Origin': 'https://a.example', 'Access-Control-Request-Method': 'POST'})
        equal((status, 'POST' in headers['Access-Control-Allow-Methods']), (204, True), 'preflight')
        server.refuse(403, 'MEGA_ERR_ARGUMENT', '/v1/models', headers={'Origin': 'https://b.example'})
