"""Names the wheel, which pyproject.toml cannot do: it holds libraries for one kind of machine, but
serves every version of Python, since nothing in it is compiled against one."""
import os

import setuptools
from setuptools.command.bdist_wheel import bdist_wheel


class Wheel(bdist_wheel):
    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return 'py3', 'none', super().get_tag()[2]


class Distribution(setuptools.Distribution):
    def has_ext_modules(self):
        return True


setuptools.setup(version=os.environ['MEGA_VERSION'], distclass=Distribution,
                 cmdclass={'bdist_wheel': Wheel})
