"""Synthetic voices for the speech recipe: words and passages, spoken by espeak-ng and flite.

The recordings of commands have few speakers. espeak-ng has many accents and timbres, none of which
sounds like a person. flite has the voices of four people; playing them faster or slower makes more
of them, since pitch and the resonances of the throat change together, as between a child and a tall
man. The synthesis makes up for the change of speed.
"""

import io
import subprocess

import numpy as np
import soundfile

import sound

RATE = 16000
COMMANDS = ['yes', 'no', 'up', 'down', 'left', 'right', 'on', 'off', 'stop', 'go']
# These words of the data set are not commands.
OTHER_WORDS = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine',
               'bed', 'bird', 'cat', 'dog', 'happy', 'house', 'marvin', 'sheila', 'tree', 'wow',
               'backward', 'forward', 'follow', 'learn', 'visual']
# These words sound like a command, or are common; none is a command or a compound with one.
FURTHER_WORDS = """
    yet yeah yesterday guess chess mess less west nest just
    note not nor snow show low boat new now known nose though
    cup but us of often cut pup uh app top shop
    town done dawn doubt sound brown round crown ground found
    lift let laugh live leaf lab lend lived lamp list
    light white ride rice bright fight tight might like time
    aunt own end in an and long song gone born
    cough soft author awful all are for far
    spot step start stock star story still stay stand
    gold girl good got coat cold home hope
    about after again always animal another answer apple arm ask
    baby ball because before best big black blue book both
    boy bread break bring brother build buy call came carry
    change child city clean close color come could country cross
    day different dinner door draw dream drink drive each early
    earth easy eat every eye face family fast father feel
    field fire first fish flower food foot friend from
    front garden give glass great green grow hair half hand
    hard have head hear heart help here high hold hundred
    idea island job keep kind king kitchen language large last
    letter life line little love machine make many market meet
    milk minute money moon morning mother mountain mouth music name
    near never number ocean open orange order paper part people
    person picture place plant play please point poor power problem
    question quick quiet rain read ready red river road room
    school sea second sentence ship short sing sister sleep small
    smile some soon speak spring street strong summer sun sure
    table talk teach thank thing think today together tomorrow travel
    turn under until usual very voice wait walk warm watch
    water way week what wheel where window winter wish woman
    wonder word work world wrong year yellow young""".split()
ESPEAK_ACCENTS = ['en-us', 'en-gb', 'en-gb-scotland', 'en-gb-x-rp', 'en-us-nyc', 'en-029']
ESPEAK_VARIANTS = ['', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6', 'm8', 'f1', 'f2', 'f3', 'f4', 'adam',
                   'boris', 'caleb', 'david', 'ed', 'gene', 'john', 'klatt', 'klatt2', 'klatt4',
                   'lee', 'mike', 'paul', 'quincy', 'rob', 'shelby', 'steph', 'travis', 'zac',
                   'belinda', 'anika']
HELD_OUT_VARIANTS = ['', 'm7', 'f5', 'max', 'linda', 'Alex', 'Annie', 'michael']
FLITE_VOICES = ['kal16', 'awb', 'rms', 'slt']
PASSAGE = 6  # words of a passage


def _samples(command):
    """The samples, at RATE, of the WAV file that a program writes to its standard output."""
    data = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return sound.resample(*soundfile.read(io.BytesIO(data), dtype='float32'), RATE)


def espeak(text, voice, speed=175, pitch=50):
    return _samples(['espeak-ng', '--stdout', '-v', voice, '-s', str(speed), '-p', str(pitch),
                     text])


def flite(text, voice, slowness=1.0, height=1.0):
    """Speak with flite; ``height`` multiplies pitch and resonances, ``slowness`` the duration."""
    spoken = _samples(['flite', '-voice', voice, '--setf',
                       f'duration_stretch={slowness * height:.3f}', '-t', text, '-o',
                       '/dev/stdout'])
    return sound.resample(spoken, round(RATE * height), RATE)


def speak(text, chooser, flite_part):
    """Speak a text in one of the voices for training, chosen at random."""
    if chooser.random() < flite_part:
        return flite(text, chooser.choice(FLITE_VOICES), chooser.uniform(0.8, 1.25),
                     chooser.uniform(0.82, 1.3))
    accent, variant = chooser.choice(ESPEAK_ACCENTS), chooser.choice(ESPEAK_VARIANTS)
    # The default voice at its default settings is left out, since the final check uses it.
    return espeak(text, f'{accent}+{variant}' if variant else accent, chooser.randint(120, 165),
                  chooser.randint(20, 80))


def clip_of(samples, begin):
    """One second as int16: samples from ``begin`` on, or if negative, after a pause of -begin."""
    clip = np.pad(samples, (max(0, -begin), RATE))[max(0, begin):][:RATE]
    return np.clip(clip * 32768, -32768, 32767).astype(np.int16)


def word_clip(word, chooser, flite_part):
    """A second that has a word somewhere."""
    samples = speak(word, chooser, flite_part)
    return clip_of(samples, -chooser.randint(0, max(0, RATE - len(samples))))


def passage_clip(chooser, flite_part):
    """A second out of the middle of speech without commands."""
    samples = speak(' '.join(chooser.choices(OTHER_WORDS + FURTHER_WORDS, k=PASSAGE)), chooser,
                    flite_part)
    return clip_of(samples, chooser.randint(0, max(0, len(samples) - RATE)))


def held_out_clips():
    """(clips, words) of the commands in voices that training never uses, the default one first."""
    spoken = [(espeak(word, f'en-us+{variant}' if variant else 'en-us'), word)
              for variant in HELD_OUT_VARIANTS for word in COMMANDS]
    return np.array([clip_of(samples, 0) for samples, _ in spoken]), [word for _, word in spoken]
