"""What the processes of a comparison import before they are forked, so that each starts at once."""

import basicsr.train  # noqa: F401

from basicsr_ext.jobs import load

for _job in ('train', 'test', 'rank', 'mine', 'distill', 'align', 'audit'):
    load(_job)
