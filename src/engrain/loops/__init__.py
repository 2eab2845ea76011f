"""The offline half: remember what was told, consolidate it into weights, forget it again."""
