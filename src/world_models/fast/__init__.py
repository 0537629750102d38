"""How V and M run near the hardware's speed. Delete this folder: all still runs, slower."""
