(** * A convolution into which its batch normalisation was folded

    Weights and bias are multiplied by the factor, and rounded, before the convolution's terms are
    added up.

    - [normalised_folded]: what is computed is within the same [charge] of the exact result as if
      the normalisation came afterwards, and an underflow of its own.

    Names and premises are those of BatchNormSums.v, on which it rests, with BatchNorm.v and
    Changed.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds
  binary32.Additions.
From Lastbit Require Import binary32.Sums binary32.Layers binary32.Changed.
From Lastbit Require Import operations.Perturbed operations.BatchNorm operations.BatchNormSums.
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
Notation tiny_pos := (tiny_pos gamma var eps Hvar Heps).

Variable ws : list (R * R).
Variable b : R.
Variables (bs : list R) (c f : R).
Notation terms := (terms ws b).
Notation magnitudes := (magnitudes gamma beta mean var eps ws b).
Hypothesis Hbs : Forall2 Rle magnitudes bs.
Hypothesis Hf : Rabs (exactly (exact_sum terms)) <= f <= total bs.
Hypothesis Hc : total bs + f <= 2 * c.
Hypothesis Hn : INR (length ws + 12) * u <= / 2 ^ 9.
Notation magnitudes_pos := (magnitudes_pos gamma beta mean var eps ws b).
Notation worst_room := (worst_room gamma beta mean var eps ws b bs c f Hbs Hf Hc).
Notation exactly_sum := (exactly_sum gamma beta mean var eps ws b).

(** Each weight with a factor of its own, if it likes. *)
Definition rescaled (w w' : R) : Prop := exists q, factor_is gamma var eps q /\
  operation Rmult w q w'.

Lemma rescaled_about w w' : rescaled w w' -> about 7 (Rabs g * Rabs w) (tiny (Rabs w)) (g * w) w'.
Proof.
  intros (q & Hq & H). assert (Kf := about_factor gamma var eps Hvar Heps q Hq).
  assert (He := eta_pos). assert (I := inverse_pos var eps Hvar Heps). assert (G := Rabs_pos gamma).
  assert (Hw := Rabs_pos w).
  assert (K :=
    about_operation_mult _ _ _ _ _ _ _ _ _ _ _ Kf (about_itself w) (operation_mult_comm _ _ _ H)).
  unfold g. apply (about_more _ _ _ _ _ _ _ K); [lia|].
  rewrite (factor_abs gamma var eps Hvar Heps). unfold tiny, flush.
  set (a := Rabs gamma) in *. set (i := / deviation var eps) in *. set (x := Rabs w) in *.
  nonneg_products a i x 0.
  apply Rle_trans with (0 + 32 * eta * ((1 + a) * (1 + i) * (1 + x))); [|lra].
  by_eta 0 (a * i + (i + 2 * a + 3) * (x + eta) + 1). lra.
Qed.

(** The changes that folding makes of the terms. *)
Definition moved (p : R * R) : R :=
  ((1 + u) ^ 7 - 1) * Rabs (g * (fst p * snd p)) +
  (1 + u) ^ 7 * (tiny (Rabs (fst p)) * Rabs (snd p)).
Definition moved_bias : R :=
  ((1 + u) ^ 7 - 1) * heavy (Rabs b) + (1 + u) ^ 7 * tiny (Rabs b + Rabs mean).

Lemma rescaled_moved w w' x : rescaled w w' -> Rabs (w' * x - g * (w * x)) <= moved (w, x).
Proof.
  intros H. destruct (rescaled_about w w' H) as (_ & _ & K). unfold moved. cbn [fst snd].
  replace (w' * x - g * (w * x)) with ((w' - g * w) * x) by ring. rewrite Rabs_mult.
  apply Rle_trans
    with ((((1 + u) ^ 7 - 1) * (Rabs g * Rabs w) + (1 + u) ^ 7 * tiny (Rabs w)) * Rabs x).
  - apply Rmult_le_compat_r; [apply Rabs_pos|exact K].
  - rewrite !Rabs_mult. lra.
Qed.

Lemma bias_moved b' : norm b b' -> Rabs (b' - exactly b) <= moved_bias /\
  Rabs b' <= heavy (Rabs b) + moved_bias.
Proof.
  intros H.
  destruct (batch_norm_about gamma beta mean var eps Hvar Heps _ _ _ _ _ (about_itself b) H)
    as (_ & A & K).
  fold g in K. rewrite Rmult_0_r, Rplus_0_l, Rplus_0_r in K. fold (heavy (Rabs b)) in *.
  fold (tiny (Rabs b + Rabs mean)) in K.
  change (normalised gamma beta mean var eps b) with (exactly b) in *.
  change (Rabs (b' - exactly b) <= moved_bias) in K. split; [exact K|].
  replace b' with ((b' - exactly b) + exactly b) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). lra.
Qed.

Definition underflow_weights : R :=
  total (map (fun p => tiny (Rabs (fst p)) * Rabs (snd p)) ws) + tiny (Rabs b + Rabs mean).

Definition folded_terms (ws' : list R) (b' : R) : list term :=
  map (fun p => Product (fst p) (snd p)) (combine ws' (map snd ws)) ++ [Constant b'].

(* map: batch normalisation folded into the weights: the rounding *)
Theorem normalised_folded ws' b' zs v : Forall2 (fun p w' => rescaled (fst p) w') ws ws' ->
  norm b b' ->
  all_vanish zs -> sum (zs ++ folded_terms ws' b') (Finite v) ->
    in_range 1 1 (zs ++ folded_terms ws' b') ->
  Rabs (v - exactly (exact_sum terms)) <=
  charge (length ws) (worst c f bs) (total bs) + 3 * underflow_weights +
  2 * (eta * flushes (folded_terms ws' b')).
Proof.
  intros Hw Hb Hzs Hs Hr. set (n := length ws). destruct worst_room as [T0 [W0 W1]]. fold n in W1.
  assert (Hu := u_pos). assert (He := eta_pos). destruct (bias_moved b' Hb) as [B1 B2].
  assert (P7 := pow_1u 7). assert (S7 := seven).
  (* the terms, one by one *)
  set (larger := map (fun p => Rabs (g * (fst p * snd p)) + moved p) ws ++
    [heavy (Rabs b) + moved_bias]).
  set (ps := fun l : list (R * R) => map (fun p => Product (fst p) (snd p)) l).
  assert (Tw : length (combine ws' (map snd ws)) = n /\
    Forall2 Rle (map magnitude (ps (combine ws' (map snd ws))))
    (map (fun p => Rabs (g * (fst p * snd p)) + moved p) ws) /\
    Rabs
    (exact_sum (ps (combine ws' (map snd ws))) - total (map (fun p => g * (fst p * snd p)) ws)) <=
    total (map moved ws)).
  { clear -Hw Hvar Heps. unfold n, ps. induction Hw as [|[w x] w' l l' H _ (I1 & I2 & I3)].
    - split; [reflexivity|]. split; [constructor|]. unfold exact_sum. simpl.
      rewrite Rminus_0_r, Rabs_R0. lra.
    - cbn [map combine fst snd length] in *. assert (K := rescaled_moved w w' x H).
      split; [now rewrite I1|]. split.
      + constructor; [|exact I2]. cbn [fst snd]. rewrite magnitude_product.
        replace (w' * x) with ((w' * x - g * (w * x)) + g * (w * x)) by ring.
        apply Rle_trans with (1 := Rabs_triang _ _). lra.
      + unfold exact_sum in *. cbn [map total fold_right fst snd]. rewrite exact_product.
        change (fold_right Rplus 0) with total.
        match goal with |- Rabs (?a + ?b - (?d + ?e)) <= _ => replace (a + b - (d + e))
          with ((a - d) + (b - e)) by ring end.
        apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  destruct Tw as (L & Fm & Ex). set (l' := folded_terms ws' b') in *.
  assert (Ll : length l' = S n)
    by (unfold l', folded_terms; rewrite length_app, length_map, L; simpl; lia).
  assert (Fl : Forall2 Rle (map magnitude l') larger).
  { unfold l', folded_terms, larger. rewrite map_app. apply Forall2_app; [exact Fm|].
    constructor; [now rewrite magnitude_constant|constructor]. }
  (* all changes together *)
  assert (V0 : 0 <= underflow_weights).
  { unfold underflow_weights.
    apply Rplus_le_le_0_compat; [|apply tiny_pos; generalize (Rabs_pos b) (Rabs_pos mean); lra].
    apply total_pos, Forall_forall. intros r Hx. apply in_map_iff in Hx.
    destruct Hx as (p & <- & _). apply Rmult_le_pos; [apply tiny_pos|]; apply Rabs_pos. }
  set (D0 := ((1 + u) ^ 7 - 1) * total magnitudes + (1 + u) ^ 7 * underflow_weights).
  assert (Tmv : total (map moved ws) + moved_bias = D0).
  { unfold D0, magnitudes, underflow_weights, moved_bias. fold g heavy. rewrite total_app.
    cbn [total fold_right]. assert (E :
      total (map moved ws) =
      ((1 + u) ^ 7 - 1) * total (map (fun p => Rabs (g * (fst p * snd p))) ws) +
      (1 + u) ^ 7 * total (map (fun p => tiny (Rabs (fst p)) * Rabs (snd p)) ws)).
    { unfold moved. now rewrite total_map_plus, !total_map_scale. }
    rewrite E. ring. }
  assert (Tl : total larger = total magnitudes + D0).
  { rewrite <- Tmv. unfold larger, magnitudes. fold g heavy. rewrite !total_app.
    cbn [total fold_right]. rewrite total_map_plus. ring. }
  assert (Fg : Forall2 Rle magnitudes larger).
  { assert (M0 : 0 <= moved_bias) by (apply Rle_trans with (2 := B1), Rabs_pos).
    unfold magnitudes, larger. fold g heavy. apply Forall2_app; [|constructor; [lra|constructor]].
    clear -Hw Hvar Heps. induction Hw as [|[w x] w' l k H _ IH]; constructor; [|exact IH].
    assert (K := rescaled_moved w w' x H). generalize (Rabs_pos (w' * x - g * (w * x))).
    cbn [fst snd]. lra. }
  assert (Tm := total_le _ _ Hbs). assert (Tm0 := total_pos _ magnitudes_pos).
  set (V := underflow_weights) in *. set (D := ((1 + u) ^ 7 - 1) * total bs + 2 * V).
  assert (HD : 0 <= D0 <= D).
  { unfold D0, D. assert (U2 : (1 + u) ^ 7 <= 2) by (unfold u in S7 |- *; lra).
    assert (0 <= ((1 + u) ^ 7 - 1) * total magnitudes <= ((1 + u) ^ 7 - 1) * total bs)
      by (split; [apply Rmult_le_pos|apply Rmult_le_compat_l]; lra).
    assert (0 <= (1 + u) ^ 7 * V <= 2 * V)
      by (split; [apply Rmult_le_pos|apply Rmult_le_compat_r]; lra). split; lra. }
  assert (X : Rabs (exact_sum l' - exactly (exact_sum terms)) <= D).
  { assert (Es := exactly_sum). fold g exactly in Es. rewrite Es. unfold l', folded_terms.
    rewrite exact_sum_app, exact_sum_constant. match goal with |- Rabs (?a + b' - (?d + ?e)) <= _ =>
      replace (a + b' - (d + e)) with ((a - d) + (b' - e)) by ring end.
    apply Rle_trans with (1 := Rabs_triang _ _). unfold ps in Ex. lra. }
  assert (Xf : Rabs (exact_sum l') <= f + D).
  { replace (exact_sum l')
      with ((exact_sum l' - exactly (exact_sum terms)) + exactly (exact_sum terms)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  assert (Sl : size l' <= total bs + D) by (generalize (total_le _ _ Fl); unfold size; lra).
  assert (Wl : worst (cap l') (Rabs (exact_sum l')) (map magnitude l') <= worst c f bs +
    INR (n + 1) * D).
  { apply Rle_trans with (1 := worst_le _ _ _ _ _ (Rle_refl _) Fl).
    assert (K :=
      worst_shift c (cap l') f (Rabs (exact_sum l')) magnitudes larger D Fg ltac:(lra) ltac:(lra)
      ltac:(unfold cap; lra) Xf).
    assert (Q := worst_le c f f _ _ (Rle_refl f) Hbs).
    assert (Lm : length magnitudes = (n + 1)%nat)
      by (unfold magnitudes; rewrite length_app, length_map; reflexivity).
    rewrite Lm in K. lra. }
  assert (Ge := in_range_error zs l' v Hzs Hs Hr (n + 2) ltac:(rewrite Ll; lia)).
  assert (Ch :=
    charge_folded n (n + 2) (worst c f bs) (total bs) V ltac:(lia) Hn T0 V0 (conj W0 W1)).
    fold D in Ch. cbv zeta in Ch.
  assert (Hn2 : INR (n + 2) * u <= INR (n + 12) * u)
    by (apply Rmult_le_compat_r; [lra|apply le_INR; lia]).
  fold n in Hn. destruct (power_near (n + 2) (n + 2) ltac:(lia) ltac:(lra)) as [_ P2].
  assert (P1 := pow_1u (n + 2)).
  assert (F0 : 0 <= eta * flushes l') by (apply Rmult_le_pos; [lra|apply flushes_pos]).
  assert (K1 : (1 + u) ^ (n + 2) * (eta * flushes l') <= 2 * (eta * flushes l'))
    by (apply Rmult_le_compat_r; lra).
  assert (K2 :
    (1 + u) ^ (n + 2) * (u * (worst (cap l') (Rabs (exact_sum l')) (map magnitude l') + size l')) <=
               (1 + u) ^ (n + 2) * (u * (worst c f bs + INR (n + 1) * D + (total bs + D)))).
  { apply Rmult_le_compat_l; [lra|]. apply Rmult_le_compat_l; lra. }
  replace (v - exactly (exact_sum terms))
    with ((v - exact_sum l') + (exact_sum l' - exactly (exact_sum terms))) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rmult_plus_distr_l in Ge. lra.
Qed.
End Parameters.
