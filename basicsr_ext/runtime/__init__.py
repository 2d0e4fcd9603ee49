"""What any long process needs: files, checkpoints, processes, interruptions. It knows neither data nor options."""

import basicsr  # noqa: F401  imports it with our repairs and names before anything of this room
