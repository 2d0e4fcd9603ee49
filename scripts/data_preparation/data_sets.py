"""The data sets that the option files name: where each comes from, and which folders it becomes.

Pairs become NAME/train, NAME/val and NAME/test with the folders `input` and `target` (DPDD has `inputL`, `inputR` and
`inputC`); sets of single images become NAME. Numbers are those of the authors.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A folder of images.

    Attributes:
        folder: below `datasets/`.
        members: pattern of the files in the archives, whose end counts; `*` does not cross a `/`.
        number: of images; None where authors offer several versions.
        named: the name of a file from the folders and the stem it had: `{0}` the stem, `{1}` the folder, `{2}` the one
            around that, and so on; `{last}` what stands behind the last _ or - of the stem; `{place}` the place of the
            file in their natural order, where the authors gave the images of a pair different names.
    """

    folder: str
    members: str
    number: int | None
    named: str = '{0}'


@dataclass(frozen=True)
class DataSet:
    """Where a data set comes from, and what it is made of.

    Attributes:
        source: page of its authors.
        archives: pattern of the names of the files that are offered there.
        parts: its folders.
        note: what else there is to say.
    """

    source: str
    archives: str
    parts: tuple[Part, ...]
    note: str = ''


PLACE = '{place:04d}'
DENOISING = 'https://github.com/cszn/DnCNN'
COLOR_DENOISING = 'https://github.com/cszn/FFDNet (testsets)'
SR = 'https://github.com/XPixelGroup/BasicSR/blob/master/docs/DatasetPreparation.md'
RESTORMER = 'https://github.com/swz30/Restormer/blob/main'
DERAINING = f'{RESTORMER}/Deraining/README.md'
DEBLURRING = f'{RESTORMER}/Motion_Deblurring/README.md'
HAZE = 'https://sites.google.com/view/reside-dehaze-datasets'
ALIGNED = 'The papers align each result with its target before they measure it; the metrics here do not.'


def pairs(folder: str, number: int | None, lq: str, gt: str, named: str = '{0}') -> tuple[Part, Part]:
    """The folders `input` and `target` of pairs."""
    return Part(f'{folder}/input', lq, number, named), Part(f'{folder}/target', gt, number, named)


def rain(name: str, number: int | None) -> tuple[Part, Part]:
    """A test set of rain."""
    return pairs(f'{name}/test', number, f'{name}/input/*.*g', f'{name}/target/*.*g')


def drops(name: str, number: int, train: str) -> DataSet:
    """A set of rain with images to train on, whose names differ by a `no`."""
    known = pairs(f'{name}/train', number, f'{train}/rain-*.png', f'{train}/norain-*.png', '{last}')
    return DataSet(f'{DERAINING}; {train} of https://github.com/csdwren/PReNet', '*.zip', (*rain(name, 100), *known))


def blur(name: str, number: int, note: str = '') -> DataSet:
    """A test set of motion blur; its sharp images have other names, in the same order."""
    packed = name.replace('-', '_')
    known = pairs(f'{name}/test', number, f'{packed}/input/*.*g', f'{packed}/target/*.*g', PLACE)
    return DataSet(DEBLURRING, 'test*.zip', known, note)


def defocus(part: str, number: int) -> list[Part]:
    """The three views and the sharp images of a part of DPDD, of which each has a name of its own."""
    kinds = ('inputL', 'inputR', 'inputC', 'target')
    return [Part(f'DPDD/{part}/{kind}', f'{part}/{kind}/*.png', number, PLACE) for kind in kinds]


def haze(name: str, numbers: tuple[int | None, int | None], hazy: str, clear: str, note: str = '') -> DataSet:
    """Pairs of many hazy images and one clear one: `0001_0.8_0.2.jpg` and `0001.jpg`."""
    folder = 'test' if name == 'SOTS' else 'train'
    known = (Part(f'{name}/{folder}/input', hazy, numbers[0]), Part(f'{name}/{folder}/target', clear, numbers[1]))
    return DataSet(HAZE, '*.zip', known, note)


def benchmark(name: str, number: int, offered: str = '') -> DataSet:
    """A test set of super-resolution: as it is, cut to multiples of 12, and halved."""
    kinds = ('GTmod12', 'LRbicx2')
    parts = [Part(f'{name}/{kind}', f'{kind}/*.png', number) for kind in kinds]
    offered = offered or name
    return DataSet(SR, f'{offered}*.zip', (Part(name, f'{offered}/*.png', number), *parts))


def single(name: str, source: str, archives: str, members: str, number: int) -> DataSet:
    """A set of single images."""
    return DataSet(source, archives, (Part(name, members, number),))


DATA: dict[str, DataSet] = {
    # clean images
    'DIV2K': DataSet(
        'https://data.vision.ee.ethz.ch/cvl/DIV2K',
        'DIV2K_*.zip',
        (
            Part('DIV2K/DIV2K_train_HR', 'DIV2K_train_HR/*.png', 800),
            Part('DIV2K/DIV2K_valid_HR', 'DIV2K_valid_HR/*.png', 100),
            Part('DIV2K/DIV2K_train_LR_bicubic/X2', 'DIV2K_train_LR_bicubic/X2/*.png', 800),
        ),
    ),
    'Flickr2K': single('Flickr2K', 'https://github.com/limbee/NTIRE2017', 'Flickr2K*.tar', 'Flickr2K_HR/*.png', 2650),
    'BSD400': DataSet(
        'https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html',
        'BSR_bsds500.tgz',
        (Part('BSD400', 'images/tr*/*.jpg', 200), Part('BSD400', 'images/test/*.jpg', 200)),
    ),
    'BSD400_gray': single('BSD400_gray', DENOISING, '*.zip', 'Train400/*.png', 400),
    'WED': single('WED', 'https://kedema.org/project/exploration/', '*.zip', 'pristine_images/*.bmp', 4744),
    'ImageNet': single(
        'ImageNet', 'https://www.image-net.org', 'ILSVRC2012_img_val.tar', 'ILSVRC2012_val_*.JPEG', 50000
    ),
    # clean images to measure on
    'Set12': single('Set12', DENOISING, '*.zip', 'Set12/*.png', 12),
    'BSD68': single('BSD68', DENOISING, '*.zip', 'Set68/*.png', 68),
    'CBSD68': single('CBSD68', COLOR_DENOISING, '*.zip', 'CBSD68/*.png', 68),
    'Kodak24': single('Kodak24', COLOR_DENOISING, '*.zip', 'Kodak*/*.png', 24),
    'McMaster': single('McMaster', COLOR_DENOISING, '*.zip', 'McMaster/*.tif', 18),
    'classic5': single('classic5', DENOISING, '*.zip', 'classic5/*.bmp', 5),
    'LIVE1': single('LIVE1', 'https://github.com/jiaxi-jiang/FBCNN (testsets)', '*.zip', 'LIVE1_gray/*.png', 29),
    'Set5': benchmark('Set5', 5),
    'Set14': benchmark('Set14', 14),
    'BSD100': benchmark('BSD100', 100, 'B*100'),
    'Urban100': benchmark('Urban100', 100),
    'Urban100_full': single('Urban100_full', f'{RESTORMER}/Denoising/README.md', 'test*.zip', 'Urban100/*.png', 100),
    # degraded images without clean ones
    'RealSRSet': single('RealSRSet', 'https://github.com/cszn/BSRGAN (testsets)', '*.zip', 'RealSRSet/*.*g', 20),
    # rain
    'Rain13K': DataSet(DERAINING, 'train*.zip', pairs('Rain13K/train', 13712, 'input/*.jpg', 'target/*.jpg')),
    'Rain100L': drops('Rain100L', 200, 'RainTrainL'),
    'Rain100H': drops('Rain100H', 1800, 'RainTrainH'),
    'Test100': DataSet(DERAINING, 'test*.zip', rain('Test100', None), 'Of its 100 pairs some versions have 98.'),
    'Test1200': DataSet(DERAINING, 'test*.zip', rain('Test1200', 1200)),
    # motion blur
    'GoPro': DataSet(
        'https://seungjunnah.github.io/Datasets/gopro',
        'GOPRO_Large.zip',
        (
            *pairs('GoPro/train', 2103, 'train/*/blur/*.png', 'train/*/sharp/*.png', '{2}-{0}'),
            *pairs('GoPro/test', 1111, 'test/*/blur/*.png', 'test/*/sharp/*.png', '{2}-{0}'),
        ),
    ),
    'HIDE': blur('HIDE', 2025),
    'RealBlur-J': blur('RealBlur-J', 980, ALIGNED),
    'RealBlur-R': blur('RealBlur-R', 980, ALIGNED),
    # defocus
    'DPDD': DataSet(
        f'{RESTORMER}/Defocus_Deblurring/README.md',
        '*.zip',
        (*defocus('train', 350), *defocus('val', 74), *defocus('test', 76)),
        'PNGs of 16 bits: inputC for a single image, inputL and inputR for dual pixels.',
    ),
    # real noise
    'SIDD': DataSet(
        'https://abdokamel.github.io/sidd/',
        '*srgb*',
        (
            *pairs('SIDD/train', 320, 'Data/*/*_NOISY_SRGB_*.PNG', 'Data/*/*_GT_SRGB_*.PNG', '{1}_{last}'),
            *pairs('SIDD/val', 1280, 'ValidationNoisyBlocksSrgb.mat/*.png', 'ValidationGtBlocksSrgb.mat/*.png'),
            Part('SIDD/test/input', 'BenchmarkNoisyBlocksSrgb.mat/*.png', 1280),
        ),
        'SIDD_Medium_Srgb of both parts, and the .mat of validation and benchmark, which need not be packed. The clean '
        'images of the benchmark are with the authors: prepare.py submit SIDD.',
    ),
    'DND': DataSet(
        'https://noise.visinf.tu-darmstadt.de',
        'info.mat',
        (Part('DND/test/input', 'info.mat/*.png', 1000),),
        'Unpack it first: info.mat beside images_srgb/. It needs h5py. The crops become PNGs of 16 bits; the clean '
        'images are with the authors: prepare.py submit DND.',
    ),
    # haze; names of many hazy images lead to one clear image
    'ITS': haze('ITS', (13990, 1399), 'hazy/*.png', 'clear/*.png'),
    'OTS': haze('OTS', (None, None), 'part*/*.jpg', 'clear*/*.jpg', 'The parts 1 to 4 and the clear images.'),
    'SOTS': haze('SOTS', (500, None), 'outdoor/hazy/*.*g', 'outdoor/gt/*.*g', 'Its outdoor images.'),
    # low light at 4K
    'UHD-LL': DataSet(
        'https://li-chongyi.github.io/UHDFour/',
        '*.zip',
        (
            *pairs('UHD-LL/train', 2000, 'training_set/input/*.*G', 'training_set/gt/*.*G'),
            *pairs('UHD-LL/test', 150, 'testing_set/input/*.*G', 'testing_set/gt/*.*G'),
        ),
    ),
    'UHD-LOL4K': DataSet(
        'https://github.com/TaoWangzj/LLFormer',
        '*.zip',
        (
            *pairs('UHD-LOL4K/train', 5999, 'train/low/*.*g', 'train/high/*.*g'),
            *pairs('UHD-LOL4K/test', 2100, 'test/low/*.*g', 'test/high/*.*g'),
        ),
    ),
}
