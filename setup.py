"""Install basicsr_ext; the version stands in basicsr_ext/version.py alone."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version() -> str:
    """The value of `__version__`, read without importing the package."""
    text = (HERE / 'basicsr_ext' / 'version.py').read_text(encoding='utf-8')
    match = re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)
    if match is None:
        raise RuntimeError("basicsr_ext/version.py: expected a line __version__ = '...', got none. Restore it.")
    return match.group(1)


setup(
    name='basicsr-ext',
    version=version(),
    description='Less data, less compute in BasicSR: rank, mine, warm up, distil, restore at any budget',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    classifiers=[
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Image Processing',
    ],
    # The option files stand at the top of the repository, where BasicSR users look, and go into the package.
    packages=[*find_packages(include=['basicsr_ext', 'basicsr_ext.*']), 'basicsr_ext.option_files'],
    package_dir={'basicsr_ext.option_files': 'options'},
    package_data={
        'basicsr_ext': ['py.typed', 'weights/*.pth', 'reports/templates/*.html'],
        'basicsr_ext.option_files': ['**/*.yml'],
    },
    zip_safe=False,
    python_requires='>=3.10',
    install_requires=[
        'basicsr==1.4.2',
        'annotated-types>=0.6',
        'einops>=0.7',
        'filelock>=3.12',
        'jinja2>=3.1',
        'lmdb>=1.4',
        'lpips>=0.1.4',
        'matplotlib>=3.7',
        'mmengine>=0.10.4',
        'numpy>=1.23',
        'opencv-python>=4.8',
        'pillow>=9.5',
        'pyarrow>=14',
        'pyyaml>=6',
        'safetensors>=0.4',
        'scipy>=1.10',
        'shtab>=1.7',
        'torch>=2.4',
        'torchvision>=0.19',
        'tqdm>=4.65',
    ],
    extras_require={
        'archs': ['spandrel>=0.4'],
        'onnx': ['onnx>=1.17', 'onnxruntime>=1.19', 'onnxscript>=0.5'],
        'optimizers': ['pytorch_optimizer>=3.4'],
        'distill': ['diffusers>=0.30', 'timm>=1.0'],
        'test': [
            'fastjsonschema>=2.20',
            'mypy>=1.11',
            'psutil>=5.9',
            'pytest>=8',
            'pytest-cov>=5',
            'pytest-xdist>=3.6',
            'pytorch_optimizer>=3.4',
            'ruff>=0.6',
            'scikit-image>=0.22',
        ],
    },
    entry_points={'console_scripts': ['basicsr-ext = basicsr_ext.__main__:main']},
)
