"""Recurrent layers: reading LSTM, GRU and RNN nodes, writing them step by step, recognising them in loops."""
