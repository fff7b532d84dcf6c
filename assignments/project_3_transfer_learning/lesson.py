# %% [markdown]
# # Project 3: transfer learning

# %%
from autograder import attempt, check

# %% task="loading"
check("loading")

# %% task="freezing"
check("freezing")

# %% task="rates"
check("rates")

# %% task="domains"
check("domains")

# %% task="comparison"
check("comparison")

# %% task="run"
check("run")

# %% [markdown] question="fog" points=5
# **Question 1 (5 points).** x

# %% [markdown] question="honest_transfer" points=5
# **Question 2 (5 points).** y
