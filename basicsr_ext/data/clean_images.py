"""What the job `align` reads: clean images, and samples where a network restores them."""

from torch import Tensor

from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.images.pixels import rgb_tensor
from basicsr_ext.schedule.sample import SampleDataset


class CleanImages:
    """The whole clean images of a dataset whose phase is not `train`: C x H x W, RGB or grey, [0, 1]."""

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset, self.whole = dataset, WholeImages(dataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor:
        return rgb_tensor(self.whole.clean(index))
