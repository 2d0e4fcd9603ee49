"""What any long process needs: files, checkpoints, processes, interruptions. It knows neither data nor options."""
