(** * What the main theorems assume

    `make proofs` compiles this file last. For each group of theorems it prints the axioms that
    their proofs use; docs/trust.md explains them. *)

From Lastbit Require Import binary32.WorstTree binary32.Terms binary32.Folded binary32.Sums
  binary32.Rounding binary32.Ieee.
From Lastbit Require Import binary32.Layers binary32.Changed.
From Lastbit Require Import curves.Slopes curves.Enclosure curves.Softmax curves.Probabilities.
From Lastbit Require Import operations.Units operations.Convolution operations.Norms
  operations.BatchNorm operations.BatchNormSums operations.BatchNormFolded.
From Lastbit Require Import network.Duals network.Forms network.Bound network.Rules network.Near
  network.FirstLayers network.Exists network.Example.
From Lastbit Require Import checker.Facts checker.Sound checker.Trees checker.Expansion
  checker.Executions.
From Lastbit Require zero.Absorb zero.Stem zero.Programs network.Neighbours.
From Lastbit Require fast.BackwardSound fast.WalkSound fast.FastSame onnx.UnitsSound tight.Decided.
From Lastbit Require binary32.Loops curves.IeeeSoftmax network.Runs network.Written onnx.AsWritten
  onnx.IeeeFile.

(** The bound of a network, with the arithmetic and the probabilities under it. *)
Definition bound_of_a_network := (valid_bound, dual_bound, forms, unit_rounding, probabilities,
  softmax_change, network.Neighbours.neighbour_image, affine_value, affine_change, gate_value,
  gate_change, bounded_parts, convolution_ideal,
  convolution_operands, norm_cholesky, norm_schur, layer_rounding, layer_formula, layer_spread,
  worst_sorted, sum_error, folds_near).
Print Assumptions bound_of_a_network.

(** Batch normalisation after a convolution, in its executed forms. *)
Definition batch_normalisation :=
  (batch_norm_about, normalised_after, normalised_folded, charge_sorted).
Print Assumptions batch_normalisation.

(** IEEE 754 binary32, by Flocq, as an instance of the arithmetic. *)
Definition binary32_is_covered :=
  (plus_adds, mult_multiplies, div_divides_by, fma_fuses, minus_computes,
  mult_computes, quotient_computes, nearest_rounds, converted_rounds, flushed_rounds,
  nearest_shifts, quotient_shifts, zero_added).
Print Assumptions binary32_is_covered.

(** Executions exist: exact ones, programs in IEEE 754 binary32, operators as a file lists them. *)
Definition executions_exist :=
  (execution_exists, binary32.Loops.left_to_right, binary32.Loops.fused_left_to_right,
  binary32.Loops.as_written, binary32.Loops.shortcut_first, binary32.Loops.shortcut_between,
  binary32.Loops.divided_before, binary32.Loops.divided_weights,
  curves.IeeeSoftmax.softmax_computed,
  network.Runs.ieee_run_exists, network.Runs.ieee_no_overflow, network.Runs.ieee_execution,
  network.Written.sum_nested, network.Written.written_execution,
  onnx.AsWritten.as_written_execution, onnx.AsWritten.as_written_finite,
  onnx.AsWritten.as_written_bound,
  onnx.IeeeFile.ieee_fused, onnx.IeeeFile.ieee_as_written).
Print Assumptions executions_exist.

(** The slopes of SiLU and sigmoid, partly by interval arithmetic, and the example. *)
Definition slopes_of_curves := (silu_slope_range, silu_slope_near, silu_near, sigmoid_slope_range,
  silu_change_rule, silu_value_slope, curve_change, silu_enclosed, silu'_enclosed,
  sigmoid'_enclosed, example_bound).
Print Assumptions slopes_of_curves.

(** The checker. *)
Definition the_checker := (check_sound, stripped_sound, convolution_expanded, admits_execution_ok).
Print Assumptions the_checker.

(** The fast checker. *)
Definition the_fast_checker :=
  (tight.Decided.decided, fast.WalkSound.walk_ok, fast.FastSame.fast_walk_ok,
  fast.BackwardSound.backward_ok, onnx.UnitsSound.units_in_ok, near_valid).
Print Assumptions the_fast_checker.

(** The first layers, and their trees. *)
Definition first_layers_and_trees :=
  (largest_at_ends, largest_at_ends_abs, largest_attained, silu_mean_slope, first_layers,
  cover, bounded_by_leaves).
Print Assumptions first_layers_and_trees.

(** A first layer in which the last bit is lost. *)
Definition no_last_bit_is_left :=
  (zero.Absorb.absorbed, zero.Stem.stem_same, zero.Programs.no_last_bit).
Print Assumptions no_last_bit_is_left.
