(** * A convolution with its batch normalisation: the bound that the checker charges

    A convolution's products [w x] and its bias [b], added by any tree that Statement.v allows, and
    normalised after it in any form of BatchNorm.v ([normalised_after]). Folded into weights and
    bias before it: BatchNormFolded.v. [bs] are upper bounds of the magnitudes of the exact terms
    with the factor, [|factor w x|] each and [|factor| (|b| + |mean|) + |beta|], the last one; [f]
    bounds the exact result, and [2 c >= total bs + f] its partial sums. Then what is computed is
    within

      charge n T' M = u (T' + 11 M + (1 + 2^-8) h^2 u M),
      where T' = worst c f bs, M = total bs, h = n + 1 + 11,

    and an explicit underflow, of [factor (sum - mean) + beta], in both cases. This is
    [Layer.rounding] with [extra = 11] (docs/bound.md, section 4). It takes, at first order, seven
    roundings for the form, one for the products, and one, if it is not folded, because the sum that
    is rounded is without mean and beta: nine of the 11.

    Not covered: overflow. That a sum stays in range is a premise ([in_range]), and numbers are
    finite ones. Terms that are exactly 0 ([zs]) do not count. [T'] is the checker's number by
    [charge_sorted]. Rests on BatchNorm.v and Changed.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds
  binary32.Additions.
From Lastbit Require Import binary32.Sums binary32.Layers binary32.Changed.
From Lastbit Require Import operations.Perturbed operations.BatchNorm.
Import ListNotations.
Open Scope R_scope.

Section Parameters.
Variables gamma beta mean var eps : R.
Hypothesis Hvar : 0 <= var.
Hypothesis Heps : / 2 ^ 100 <= eps.
Let g : R := factor gamma var eps.
Let norm : R -> R -> Prop := batch_norm gamma beta mean var eps.
Let exactly : R -> R := normalised gamma beta mean var eps.
Let heavy : R -> R := mass gamma beta mean var eps.
Let tiny : R -> R := flush gamma var eps.
Notation tiny_mono := (tiny_mono gamma var eps Hvar Heps).
Notation tiny_pos := (tiny_pos gamma var eps Hvar Heps).

(** The convolution: products [w x] and a bias. Its exact sum, and the magnitudes after the
    normalisation, that of everything that does not depend on the operands being one term. *)
Variable ws : list (R * R).
Variable b : R.
Definition terms : list term := map (fun p => Product (fst p) (snd p)) ws ++ [Constant b].
Definition magnitudes : list R := map (fun p => Rabs (g * (fst p * snd p))) ws ++ [heavy (Rabs b)].

Lemma total_magnitudes : total magnitudes = heavy (size terms).
Proof.
  unfold magnitudes, terms, heavy, mass. fold g. rewrite size_app, total_app.
  rewrite size_constant. cbn [total fold_right].
  assert (E : total (map (fun p => Rabs (g * (fst p * snd p))) ws) =
    Rabs g * size (map (fun p => Product (fst p) (snd p)) ws)).
  { unfold size. rewrite map_map, <- total_map_scale. apply total_map_ext. intros p _.
    now rewrite magnitude_product, <- Rabs_mult. }
  rewrite E. ring.
Qed.

Lemma exactly_sum : exactly (exact_sum terms) = total (map (fun p => g * (fst p * snd p)) ws) +
  exactly b.
Proof.
  unfold exactly, normalised, terms. fold g. rewrite exact_sum_app, exact_sum_constant.
  assert (E : g * exact_sum (map (fun p => Product (fst p) (snd p)) ws) =
    total (map (fun p => g * (fst p * snd p)) ws)).
  { unfold exact_sum. rewrite map_map, <- total_map_scale. apply total_map_ext. intros p _.
    now rewrite exact_product. }
  rewrite <- E. ring.
Qed.

Lemma terms_length : length terms = S (length ws).
Proof. unfold terms. rewrite length_app, length_map. simpl. lia. Qed.

(** What the checker knows: bounds of the magnitudes, of the whole, and the cap of partial sums. *)
Variables (bs : list R) (c f : R).
Hypothesis Hbs : Forall2 Rle magnitudes bs.
Hypothesis Hf : Rabs (exactly (exact_sum terms)) <= f <= total bs.
Hypothesis Hc : total bs + f <= 2 * c.
Hypothesis Hn : INR (length ws + 12) * u <= / 2 ^ 9.

Lemma magnitudes_pos : nonneg magnitudes.
Proof.
  apply Forall_app. split.
  - apply Forall_forall. intros r Hr. apply in_map_iff in Hr. destruct Hr as (p & <- & _).
    apply Rabs_pos.
  - constructor; [|constructor]. unfold heavy, mass.
    generalize (Rabs_pos b) (Rabs_pos mean) (Rabs_pos beta). intros.
    apply Rplus_le_le_0_compat; [apply Rmult_le_pos; [apply Rabs_pos|lra]|lra].
Qed.

Lemma worst_room : 0 <= total bs /\ 0 <= worst c f bs <= INR (length ws) * total bs.
Proof.
  assert (Nb := nonneg_le _ _ Hbs magnitudes_pos). assert (T := total_pos _ Nb).
  assert (A := Rabs_pos (exactly (exact_sum terms))). split; [exact T|].
  split; [apply worst_pos; [lra|lra|exact Nb]|]. assert (K := worst_simple c f bs Nb ltac:(lra)).
  rewrite <- (Forall2_length Hbs) in K. unfold magnitudes in K. rewrite length_app, length_map in K.
  simpl in K. replace (pred (length ws + 1)) with (length ws) in K by lia. exact K.
Qed.

(** ** Not folded: the sum, and then the normalisation in any form *)

Definition underflow_after : R :=
  2 * (eta * (Rabs g * flushes terms) + tiny (2 * size terms + Rabs mean + flushes terms)).

(** [zs] are terms that are exactly 0: padding, and weights that are 0. *)
(* map: a convolution, then batch normalisation: the rounding of both *)
Theorem normalised_after zs y z : all_vanish zs -> sum (zs ++ terms) (Finite y) ->
  in_range 1 1 (zs ++ terms) -> norm y z ->
  Rabs (z - exactly (exact_sum terms)) <= charge (length ws) (worst c f bs) (total bs) +
  underflow_after.
Proof.
  intros Hzs Hs Hr Hz. set (n := length ws). destruct worst_room as [T0 [W0 W1]]. fold n in W1.
  assert (Hu := u_pos). assert (He := eta_pos). assert (Sz := exact_sum_size terms).
  assert (Z0 := size_pos terms). assert (A0 := Rabs_pos (exact_sum terms)).
  assert (G0 := Rabs_pos g). assert (Mm := Rabs_pos mean). assert (Bb := Rabs_pos beta).
  assert (Tm := total_le _ _ Hbs). rewrite total_magnitudes in Tm. unfold heavy, mass in Tm.
  fold g in Tm. assert (Gs : 0 <= Rabs g * size terms) by (apply Rmult_le_pos; lra).
  assert (Gm : 0 <= Rabs g * Rabs mean) by (apply Rmult_le_pos; lra).
  assert (Ge := in_range_error zs terms y Hzs Hs Hr (n + 2) ltac:(rewrite terms_length; unfold n;
    lia)).
  set (S := exact_sum terms) in *.
  set (Wc := worst (cap terms) (Rabs S) (map magnitude terms)) in *.
  assert (F0 := flushes_pos terms). set (fl := flushes terms) in *.
  set (E := (1 + u) ^ (n + 2) * (u * (Wc + size terms) + eta * fl)) in *.
  assert (Nm : nonneg (map magnitude terms)).
  { apply Forall_forall. intros r Hx. apply in_map_iff in Hx. destruct Hx as (t & <- & _).
    apply magnitude_pos. }
  assert (C0 : 0 <= cap terms) by (unfold cap; fold S; lra).
  assert (Wc0 : 0 <= Wc) by (apply worst_pos; [exact C0|exact A0|exact Nm]).
  assert (E0 : 0 <= E).
  { unfold E. apply Rmult_le_pos; [generalize (pow_1u (n + 2)); lra|].
    apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. }
  assert (Ab : about 0 (Rabs S) E S y) by (split; [exact E0|]; split; [lra|]; rewrite pow_O; lra).
  destruct (batch_norm_about gamma beta mean var eps Hvar Heps _ _ _ _ _ Ab Hz) as (_ & _ & K).
  fold g in K. change (normalised gamma beta mean var eps S) with (exactly S) in K.
  fold (heavy (Rabs S)) in K. fold (tiny (Rabs S + Rabs mean + E)) in K.
  (* the sum's error after the factor, with the checker's terms *)
  assert (Gw : Rabs g * Wc <= worst c f bs + total bs).
  { unfold Wc. rewrite worst_scale by exact G0.
    apply Rle_trans with (worst c (f + (Rabs g * Rabs mean + Rabs beta)) magnitudes).
    - assert (Tf : Rabs g * Rabs S <= f + (Rabs g * Rabs mean + Rabs beta)).
      { rewrite <- Rabs_mult.
        replace (g * S) with (exactly S + (g * mean + - beta))
          by (unfold exactly, normalised; fold g; ring).
        apply Rle_trans with (1 := Rabs_triang _ _). assert (Q := Rabs_triang (g * mean) (- beta)).
        rewrite Rabs_Ropp, Rabs_mult in Q. lra. }
      apply worst_mono; [|exact Tf|].
      + unfold cap. fold S. lra.
      + unfold magnitudes, terms. rewrite !map_app, !map_map. apply Forall2_app.
        * clear -G0. induction ws as [|[w x] l IH]; constructor; [|exact IH]. cbn [fst snd].
          rewrite magnitude_product, (Rabs_mult g). lra.
        * constructor; [|constructor]. unfold heavy, mass. fold g. rewrite magnitude_constant. lra.
    - apply Rle_trans
        with (1 := worst_whole c f (Rabs g * Rabs mean + Rabs beta) magnitudes ltac:(lra)).
      assert (Q := worst_le c f f _ _ (Rle_refl f) Hbs). lra. }
  assert (GE : Rabs g * E <= (1 + u) ^ (n + 2) * (u * (worst c f bs + 2 * total bs)) +
    (1 + u) ^ (n + 2) * (eta * (Rabs g * fl))).
  { unfold E. replace (Rabs g * ((1 + u) ^ (n + 2) * (u * (Wc + size terms) + eta * fl))) with
      ((1 + u) ^ (n + 2) * (u * (Rabs g * Wc + Rabs g * size terms)) +
        (1 + u) ^ (n + 2) * (eta * (Rabs g * fl))) by ring.
    apply Rplus_le_compat_r. apply Rmult_le_compat_l; [generalize (pow_1u (n + 2)); lra|].
    apply Rmult_le_compat_l; lra. }
  assert (Hn2 : INR (n + 2) * u <= INR (n + 12) * u)
    by (apply Rmult_le_compat_r; [lra|apply le_INR; lia]).
  assert (Hn9 : INR (n + 9) * u <= INR (n + 12) * u)
    by (apply Rmult_le_compat_r; [lra|apply le_INR; lia]).
  fold n in Hn. destruct (power_near (n + 2) (n + 2) ltac:(lia) ltac:(lra)) as [_ P2].
  destruct (power_near (n + 9) (n + 9) ltac:(lia) ltac:(lra)) as [_ P9].
  assert (Ee : E <= size terms + fl).
  { assert (Q :=
      worst_simple (cap terms) (Rabs S) _ Nm ltac:(change (total (map magnitude terms))
        with (size terms); lra)).
    fold Wc in Q. rewrite length_map, terms_length in Q.
    change (pred (Datatypes.S (length ws))) with n in Q.
    change (total (map magnitude terms)) with (size terms) in Q.
    assert (Q2 : u * (Wc + size terms) <= u * (INR (n + 2) * size terms)).
    { apply Rmult_le_compat_l; [lra|].
      replace (INR (n + 2)) with (INR n + 2) by (rewrite plus_INR; simpl; ring). lra. }
    assert (Q3 : INR (n + 2) * u * size terms <= / 2 ^ 9 * size terms)
      by (apply Rmult_le_compat_r; lra).
    assert (Q4 := eta_tiny fl F0). assert (1 <= (1 + u) ^ (n + 2)) by apply pow_1u.
    unfold E. apply Rle_trans with (512 / 511 * (u * (Wc + size terms) + eta * fl)); [|lra].
    apply Rmult_le_compat_r; [|exact P2]. apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. }
  assert (Ti : tiny (Rabs S + Rabs mean + E) <= tiny (2 * size terms + Rabs mean + fl))
    by (apply tiny_mono; lra).
  assert (Tp : 0 <= tiny (2 * size terms + Rabs mean + fl)) by (apply tiny_pos; lra).
  assert (Ms : heavy (Rabs S) <= total bs).
  { unfold heavy, mass. fold g.
    assert (Rabs g * Rabs S <= Rabs g * size terms) by (apply Rmult_le_compat_l; lra). lra. }
  assert (Ch := charge_unfolded n (n + 9) (worst c f bs) (total bs) ltac:(lia) Hn T0 (conj W0 W1)).
  assert (P7 := pow_1u 7). assert (S7 := seven).
  assert (Eq : (1 + u) ^ (n + 9) = (1 + u) ^ 7 * (1 + u) ^ (n + 2))
    by (rewrite <- pow_add; f_equal; lia).
  assert (X0 : 0 <= eta * (Rabs g * fl)) by (apply Rmult_le_pos; [lra|now apply Rmult_le_pos]).
  assert (K1 := Rmult_le_compat_l ((1 + u) ^ 7) _ _ ltac:(lra) GE).
  assert (K2 : ((1 + u) ^ 7 - 1) * heavy (Rabs S) <= ((1 + u) ^ 7 - 1) * total bs)
    by (apply Rmult_le_compat_l; lra).
  assert (U2 : (1 + u) ^ 7 <= 2) by (unfold u in S7 |- *; lra).
  assert (K3 : (1 + u) ^ 7 * tiny (Rabs S + Rabs mean + E) <=
    2 * tiny (2 * size terms + Rabs mean + fl)).
  { apply Rmult_le_compat; try lra. apply tiny_pos. lra. }
  assert (K4 : (1 + u) ^ (n + 9) * (eta * (Rabs g * fl)) <= 2 * (eta * (Rabs g * fl)))
    by (apply Rmult_le_compat_r; lra).
  unfold underflow_after. fold fl. rewrite Eq in Ch, K4. lra.
Qed.

End Parameters.
