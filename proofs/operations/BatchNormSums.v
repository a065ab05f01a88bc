(** * A convolution with its batch normalisation: the bound that the checker charges

    A convolution's products [w x] and its bias [b], added by any tree that Statement.v allows, and normalised in any form of
    BatchNorm.v after it ([normalised_after]) or folded into weights and bias before it ([normalised_folded]). [bs] are upper
    bounds of the magnitudes of the exact terms with the factor, [|factor w x|] each and [|factor| (|b| + |mean|) + |beta|], the
    last one; [f] bounds the exact result, and [2 c >= total bs + f] its partial sums. Then what is computed is within

      charge n T' M = u (T' + 11 M + (1 + 2^-8) h^2 u M),   T' = worst c f bs, M = total bs, h = n + 1 + 11,

    and an explicit underflow, of [factor (sum - mean) + beta], in both cases. This is [Layer.rounding] with [extra = 11]
    (docs/bound.md, section 4). It takes, at first order, seven roundings for the form, one for the products, and one, if it is
    not folded, because the sum that is rounded is without mean and beta: nine of the 11.

    Not covered: overflow. That a sum stays in range is a premise ([in_range]), and numbers are finite ones. Terms that are exactly 0
    ([zs]) do not count. [T'] is the checker's number by [charge_sorted].
    Rests on BatchNorm.v and Changed.v. *)

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

(** The convolution: products [w x] and a bias. Its exact sum, and the magnitudes after the normalisation, that of
    everything that does not depend on the operands being one term. *)
Variable ws : list (R * R).
Variable b : R.
Definition terms : list term := map (fun p => Product (fst p) (snd p)) ws ++ [Constant b].
Definition magnitudes : list R := map (fun p => Rabs (g * (fst p * snd p))) ws ++ [heavy (Rabs b)].

Lemma total_magnitudes : total magnitudes = heavy (size terms).
Proof.
  unfold magnitudes, terms, heavy, mass. fold g. rewrite size_app, total_app.
  rewrite size_constant. cbn [total fold_right].
  assert (E : total (map (fun p => Rabs (g * (fst p * snd p))) ws) = Rabs g * size (map (fun p => Product (fst p) (snd p)) ws)).
  { unfold size. rewrite map_map, <- total_map_scale. apply total_map_ext. intros p _.
    now rewrite magnitude_product, <- Rabs_mult. }
  rewrite E. ring.
Qed.

Lemma exactly_sum : exactly (exact_sum terms) = total (map (fun p => g * (fst p * snd p)) ws) + exactly b.
Proof.
  unfold exactly, normalised, terms. fold g. rewrite exact_sum_app, exact_sum_constant.
  assert (E : g * exact_sum (map (fun p => Product (fst p) (snd p)) ws) = total (map (fun p => g * (fst p * snd p)) ws)).
  { unfold exact_sum. rewrite map_map, <- total_map_scale. apply total_map_ext. intros p _.
    now rewrite exact_product. }
  rewrite <- E. ring.
Qed.

Lemma terms_length : length terms = S (length ws).
Proof. unfold terms. rewrite app_length, map_length. simpl. lia. Qed.

(** What the checker knows: bounds of the magnitudes, of the whole, and the cap of partial sums. *)
Variables (bs : list R) (c f : R).
Hypothesis Hbs : Forall2 Rle magnitudes bs.
Hypothesis Hf : Rabs (exactly (exact_sum terms)) <= f <= total bs.
Hypothesis Hc : total bs + f <= 2 * c.
Hypothesis Hn : INR (length ws + 12) * u <= / 2 ^ 9.

Lemma magnitudes_pos : nonneg magnitudes.
Proof.
  apply Forall_app. split.
  - apply Forall_forall. intros r Hr. apply in_map_iff in Hr. destruct Hr as (p & <- & _). apply Rabs_pos.
  - constructor; [|constructor]. unfold heavy, mass. generalize (Rabs_pos b) (Rabs_pos mean) (Rabs_pos beta). intros.
    apply Rplus_le_le_0_compat; [apply Rmult_le_pos; [apply Rabs_pos|lra]|lra].
Qed.

Lemma worst_room : 0 <= total bs /\ 0 <= worst c f bs <= INR (length ws) * total bs.
Proof.
  assert (Nb := nonneg_le _ _ Hbs magnitudes_pos). assert (T := total_pos _ Nb). assert (A := Rabs_pos (exactly (exact_sum terms))).
  split; [exact T|]. split; [apply worst_pos; [lra|lra|exact Nb]|].
  assert (K := worst_simple c f bs Nb ltac:(lra)). rewrite <- (length_le _ _ Hbs) in K. unfold magnitudes in K.
  rewrite app_length, map_length in K. simpl in K. replace (pred (length ws + 1)) with (length ws) in K by lia. exact K.
Qed.

(** ** Not folded: the sum, and then the normalisation in any form *)

Definition underflow_after : R := 2 * (eta * (Rabs g * flushes terms) + tiny (2 * size terms + Rabs mean + flushes terms)).

(** [zs] are terms that are exactly 0: padding, and weights that are 0. *)
Theorem normalised_after zs y z : all_vanish zs -> sum (zs ++ terms) (Finite y) ->
  in_range 1 1 (zs ++ terms) -> norm y z ->
  Rabs (z - exactly (exact_sum terms)) <= charge (length ws) (worst c f bs) (total bs) + underflow_after.
Proof.
  intros Hzs Hs Hr Hz. set (n := length ws). destruct worst_room as [T0 [W0 W1]]. fold n in W1.
  assert (Hu := u_pos). assert (He := eta_pos). assert (Sz := exact_sum_size terms). assert (Z0 := size_pos terms).
  assert (A0 := Rabs_pos (exact_sum terms)). assert (G0 := Rabs_pos g). assert (Mm := Rabs_pos mean). assert (Bb := Rabs_pos beta).
  assert (Tm := total_le _ _ Hbs). rewrite total_magnitudes in Tm. unfold heavy, mass in Tm. fold g in Tm.
  assert (Gs : 0 <= Rabs g * size terms) by (apply Rmult_le_pos; lra).
  assert (Gm : 0 <= Rabs g * Rabs mean) by (apply Rmult_le_pos; lra).
  assert (Ge := in_range_error zs terms y Hzs Hs Hr (n + 2) ltac:(rewrite terms_length; unfold n;
    lia)).
  set (S := exact_sum terms) in *. set (Wc := worst (cap terms) (Rabs S) (map magnitude terms)) in *.
  assert (F0 := flushes_pos terms).
  set (fl := flushes terms) in *. set (E := (1 + u) ^ (n + 2) * (u * (Wc + size terms) + eta * fl)) in *.
  assert (Nm : nonneg (map magnitude terms)).
  { apply Forall_forall. intros r Hx. apply in_map_iff in Hx. destruct Hx as (t & <- & _). apply magnitude_pos. }
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
      { rewrite <- Rabs_mult. replace (g * S) with (exactly S + (g * mean + - beta)) by (unfold exactly, normalised; fold g; ring).
        apply Rle_trans with (1 := Rabs_triang _ _). assert (Q := Rabs_triang (g * mean) (- beta)).
        rewrite Rabs_Ropp, Rabs_mult in Q. lra. }
      apply worst_mono; [|exact Tf|].
      + unfold cap. fold S. lra.
      + unfold magnitudes, terms. rewrite !map_app, !map_map. apply Forall2_app.
        * clear -G0. induction ws as [|[w x] l IH]; constructor; [|exact IH]. cbn [fst snd].
          rewrite magnitude_product, (Rabs_mult g). lra.
        * constructor; [|constructor]. unfold heavy, mass. fold g. rewrite magnitude_constant. lra.
    - apply Rle_trans with (1 := worst_whole c f (Rabs g * Rabs mean + Rabs beta) magnitudes ltac:(lra)).
      assert (Q := worst_le c f f _ _ (Rle_refl f) Hbs). lra. }
  assert (GE : Rabs g * E <= (1 + u) ^ (n + 2) * (u * (worst c f bs + 2 * total bs)) + (1 + u) ^ (n + 2) * (eta * (Rabs g * fl))).
  { unfold E. replace (Rabs g * ((1 + u) ^ (n + 2) * (u * (Wc + size terms) + eta * fl))) with
      ((1 + u) ^ (n + 2) * (u * (Rabs g * Wc + Rabs g * size terms)) + (1 + u) ^ (n + 2) * (eta * (Rabs g * fl))) by ring.
    apply Rplus_le_compat_r. apply Rmult_le_compat_l; [generalize (pow_1u (n + 2)); lra|]. apply Rmult_le_compat_l; lra. }
  assert (Hn2 : INR (n + 2) * u <= INR (n + 12) * u) by (apply Rmult_le_compat_r; [lra|apply le_INR; lia]).
  assert (Hn9 : INR (n + 9) * u <= INR (n + 12) * u) by (apply Rmult_le_compat_r; [lra|apply le_INR; lia]).
  fold n in Hn. destruct (power_near (n + 2) (n + 2) ltac:(lia) ltac:(lra)) as [_ P2].
  destruct (power_near (n + 9) (n + 9) ltac:(lia) ltac:(lra)) as [_ P9].
  assert (Ee : E <= size terms + fl).
  { assert (Q := worst_simple (cap terms) (Rabs S) _ Nm ltac:(change (total (map magnitude terms)) with (size terms); lra)).
    fold Wc in Q. rewrite map_length, terms_length in Q.
    change (pred (Datatypes.S (length ws))) with n in Q. change (total (map magnitude terms)) with (size terms) in Q.
    assert (Q2 : u * (Wc + size terms) <= u * (INR (n + 2) * size terms)).
    { apply Rmult_le_compat_l; [lra|]. replace (INR (n + 2)) with (INR n + 2) by (rewrite plus_INR; simpl; ring). lra. }
    assert (Q3 : INR (n + 2) * u * size terms <= / 2 ^ 9 * size terms) by (apply Rmult_le_compat_r; lra).
    assert (Q4 := eta_tiny fl F0). assert (1 <= (1 + u) ^ (n + 2)) by apply pow_1u.
    unfold E. apply Rle_trans with (512 / 511 * (u * (Wc + size terms) + eta * fl)); [|lra].
    apply Rmult_le_compat_r; [|exact P2]. apply Rplus_le_le_0_compat; apply Rmult_le_pos; lra. }
  assert (Ti : tiny (Rabs S + Rabs mean + E) <= tiny (2 * size terms + Rabs mean + fl)) by (apply tiny_mono; lra).
  assert (Tp : 0 <= tiny (2 * size terms + Rabs mean + fl)) by (apply tiny_pos; lra).
  assert (Ms : heavy (Rabs S) <= total bs).
  { unfold heavy, mass. fold g. assert (Rabs g * Rabs S <= Rabs g * size terms) by (apply Rmult_le_compat_l; lra). lra. }
  assert (Ch := charge_unfolded n (n + 9) (worst c f bs) (total bs) ltac:(lia) Hn T0 (conj W0 W1)).
  assert (P7 := pow_1u 7). assert (S7 := seven).
  assert (Eq : (1 + u) ^ (n + 9) = (1 + u) ^ 7 * (1 + u) ^ (n + 2)) by (rewrite <- pow_add; f_equal; lia).
  assert (X0 : 0 <= eta * (Rabs g * fl)) by (apply Rmult_le_pos; [lra|now apply Rmult_le_pos]).
  assert (K1 := Rmult_le_compat_l ((1 + u) ^ 7) _ _ ltac:(lra) GE).
  assert (K2 : ((1 + u) ^ 7 - 1) * heavy (Rabs S) <= ((1 + u) ^ 7 - 1) * total bs) by (apply Rmult_le_compat_l; lra).
  assert (U2 : (1 + u) ^ 7 <= 2) by (unfold u in S7 |- *; lra).
  assert (K3 : (1 + u) ^ 7 * tiny (Rabs S + Rabs mean + E) <= 2 * tiny (2 * size terms + Rabs mean + fl)).
  { apply Rmult_le_compat; try lra. apply tiny_pos. lra. }
  assert (K4 : (1 + u) ^ (n + 9) * (eta * (Rabs g * fl)) <= 2 * (eta * (Rabs g * fl))) by (apply Rmult_le_compat_r; lra).
  unfold underflow_after. fold fl. rewrite Eq in Ch, K4. lra.
Qed.

(** ** Folded: weights times the factor, rounded, and the normalised bias, beforehand *)

(** Each weight with a factor of its own, if it likes. *)
Definition rescaled (w w' : R) : Prop := exists q, factor_is gamma var eps q /\
  operation Rmult w q w'.

Lemma rescaled_about w w' : rescaled w w' -> about 7 (Rabs g * Rabs w) (tiny (Rabs w)) (g * w) w'.
Proof.
  intros (q & Hq & H). assert (Kf := about_factor gamma var eps Hvar Heps q Hq). assert (He := eta_pos).
  assert (I := inverse_pos var eps Hvar Heps). assert (G := Rabs_pos gamma). assert (Hw := Rabs_pos w).
  assert (K := about_operation_mult _ _ _ _ _ _ _ _ _ _ _ Kf (about_itself w) (operation_mult_comm _ _ _ H)).
  unfold g. apply (about_more _ _ _ _ _ _ _ K); [lia|].
  rewrite (factor_abs gamma var eps Hvar Heps). unfold tiny, flush.
  set (a := Rabs gamma) in *. set (i := / deviation var eps) in *. set (x := Rabs w) in *.
  nonneg_products a i x 0. apply Rle_trans with (0 + 32 * eta * ((1 + a) * (1 + i) * (1 + x))); [|lra].
  by_eta 0 (a * i + (i + 2 * a + 3) * (x + eta) + 1). lra.
Qed.

(** The changes that folding makes of the terms. *)
Definition moved (p : R * R) : R :=
  ((1 + u) ^ 7 - 1) * Rabs (g * (fst p * snd p)) + (1 + u) ^ 7 * (tiny (Rabs (fst p)) * Rabs (snd p)).
Definition moved_bias : R := ((1 + u) ^ 7 - 1) * heavy (Rabs b) + (1 + u) ^ 7 * tiny (Rabs b + Rabs mean).

Lemma rescaled_moved w w' x : rescaled w w' -> Rabs (w' * x - g * (w * x)) <= moved (w, x).
Proof.
  intros H. destruct (rescaled_about w w' H) as (_ & _ & K). unfold moved. cbn [fst snd].
  replace (w' * x - g * (w * x)) with ((w' - g * w) * x) by ring. rewrite Rabs_mult.
  apply Rle_trans with ((((1 + u) ^ 7 - 1) * (Rabs g * Rabs w) + (1 + u) ^ 7 * tiny (Rabs w)) * Rabs x).
  - apply Rmult_le_compat_r; [apply Rabs_pos|exact K].
  - rewrite !Rabs_mult. lra.
Qed.

Lemma bias_moved b' : norm b b' -> Rabs (b' - exactly b) <= moved_bias /\ Rabs b' <= heavy (Rabs b) + moved_bias.
Proof.
  intros H. destruct (batch_norm_about gamma beta mean var eps Hvar Heps _ _ _ _ _ (about_itself b) H) as (_ & A & K).
  fold g in K. rewrite Rmult_0_r, Rplus_0_l, Rplus_0_r in K. fold (heavy (Rabs b)) in *. fold (tiny (Rabs b + Rabs mean)) in K.
  change (normalised gamma beta mean var eps b) with (exactly b) in *. change (Rabs (b' - exactly b) <= moved_bias) in K.
  split; [exact K|]. replace b' with ((b' - exactly b) + exactly b) by ring. apply Rle_trans with (1 := Rabs_triang _ _). lra.
Qed.

Definition underflow_weights : R :=
  total (map (fun p => tiny (Rabs (fst p)) * Rabs (snd p)) ws) + tiny (Rabs b + Rabs mean).

Definition folded_terms (ws' : list R) (b' : R) : list term :=
  map (fun p => Product (fst p) (snd p)) (combine ws' (map snd ws)) ++ [Constant b'].

Theorem normalised_folded ws' b' zs v : Forall2 (fun p w' => rescaled (fst p) w') ws ws' ->
  norm b b' ->
  all_vanish zs -> sum (zs ++ folded_terms ws' b') (Finite v) ->
    in_range 1 1 (zs ++ folded_terms ws' b') ->
  Rabs (v - exactly (exact_sum terms)) <=
  charge (length ws) (worst c f bs) (total bs) + 3 * underflow_weights + 2 * (eta * flushes (folded_terms ws' b')).
Proof.
  intros Hw Hb Hzs Hs Hr. set (n := length ws). destruct worst_room as [T0 [W0 W1]]. fold n in W1.
  assert (Hu := u_pos). assert (He := eta_pos). destruct (bias_moved b' Hb) as [B1 B2].
  assert (P7 := pow_1u 7). assert (S7 := seven).
  (* the terms, one by one *)
  set (larger := map (fun p => Rabs (g * (fst p * snd p)) + moved p) ws ++ [heavy (Rabs b) + moved_bias]).
  set (ps := fun l : list (R * R) => map (fun p => Product (fst p) (snd p)) l).
  assert (Tw : length (combine ws' (map snd ws)) = n /\
    Forall2 Rle (map magnitude (ps (combine ws' (map snd ws)))) (map (fun p => Rabs (g * (fst p * snd p)) + moved p) ws) /\
    Rabs (exact_sum (ps (combine ws' (map snd ws))) - total (map (fun p => g * (fst p * snd p)) ws)) <= total (map moved ws)).
  { clear -Hw Hvar Heps. unfold n, ps. induction Hw as [|[w x] w' l l' H _ (I1 & I2 & I3)].
    - split; [reflexivity|]. split; [constructor|]. unfold exact_sum. simpl. rewrite Rminus_0_r, Rabs_R0. lra.
    - cbn [map combine fst snd length] in *. assert (K := rescaled_moved w w' x H).
      split; [now rewrite I1|]. split.
      + constructor; [|exact I2]. cbn [fst snd]. rewrite magnitude_product.
        replace (w' * x) with ((w' * x - g * (w * x)) + g * (w * x)) by ring. apply Rle_trans with (1 := Rabs_triang _ _). lra.
      + unfold exact_sum in *. cbn [map total fold_right fst snd]. rewrite exact_product.
        change (fold_right Rplus 0) with total.
        match goal with |- Rabs (?a + ?b - (?d + ?e)) <= _ => replace (a + b - (d + e)) with ((a - d) + (b - e)) by ring end.
        apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  destruct Tw as (L & Fm & Ex). set (l' := folded_terms ws' b') in *.
  assert (Ll : length l' = S n) by (unfold l', folded_terms; rewrite app_length, map_length, L; simpl; lia).
  assert (Fl : Forall2 Rle (map magnitude l') larger).
  { unfold l', folded_terms, larger. rewrite map_app. apply Forall2_app; [exact Fm|].
    constructor; [now rewrite magnitude_constant|constructor]. }
  (* all changes together *)
  assert (V0 : 0 <= underflow_weights).
  { unfold underflow_weights. apply Rplus_le_le_0_compat; [|apply tiny_pos; generalize (Rabs_pos b) (Rabs_pos mean); lra].
    apply total_pos, Forall_forall. intros r Hx. apply in_map_iff in Hx. destruct Hx as (p & <- & _).
    apply Rmult_le_pos; [apply tiny_pos|]; apply Rabs_pos. }
  set (D0 := ((1 + u) ^ 7 - 1) * total magnitudes + (1 + u) ^ 7 * underflow_weights).
  assert (Tmv : total (map moved ws) + moved_bias = D0).
  { unfold D0, magnitudes, underflow_weights, moved_bias. rewrite total_app. cbn [total fold_right].
    assert (E : total (map moved ws) = ((1 + u) ^ 7 - 1) * total (map (fun p => Rabs (g * (fst p * snd p))) ws) +
      (1 + u) ^ 7 * total (map (fun p => tiny (Rabs (fst p)) * Rabs (snd p)) ws)).
    { unfold moved. now rewrite total_map_plus, !total_map_scale. }
    rewrite E. ring. }
  assert (Tl : total larger = total magnitudes + D0).
  { rewrite <- Tmv. unfold larger, magnitudes. rewrite !total_app. cbn [total fold_right].
    rewrite total_map_plus. ring. }
  assert (Fg : Forall2 Rle magnitudes larger).
  { assert (M0 : 0 <= moved_bias) by (apply Rle_trans with (2 := B1), Rabs_pos).
    unfold magnitudes, larger. apply Forall2_app; [|constructor; [lra|constructor]].
    clear -Hw Hvar Heps. induction Hw as [|[w x] w' l k H _ IH]; constructor; [|exact IH].
    assert (K := rescaled_moved w w' x H). generalize (Rabs_pos (w' * x - g * (w * x))).
    cbn [fst snd]. lra. }
  assert (Tm := total_le _ _ Hbs). assert (Tm0 := total_pos _ magnitudes_pos).
  set (V := underflow_weights) in *. set (D := ((1 + u) ^ 7 - 1) * total bs + 2 * V).
  assert (HD : 0 <= D0 <= D).
  { unfold D0, D. assert (U2 : (1 + u) ^ 7 <= 2) by (unfold u in S7 |- *; lra).
    assert (0 <= ((1 + u) ^ 7 - 1) * total magnitudes <= ((1 + u) ^ 7 - 1) * total bs)
      by (split; [apply Rmult_le_pos|apply Rmult_le_compat_l]; lra).
    assert (0 <= (1 + u) ^ 7 * V <= 2 * V) by (split; [apply Rmult_le_pos|apply Rmult_le_compat_r]; lra). split; lra. }
  assert (X : Rabs (exact_sum l' - exactly (exact_sum terms)) <= D).
  { rewrite exactly_sum. unfold l', folded_terms. rewrite exact_sum_app, exact_sum_constant.
    match goal with |- Rabs (?a + b' - (?d + ?e)) <= _ =>
      replace (a + b' - (d + e)) with ((a - d) + (b' - e)) by ring end.
    apply Rle_trans with (1 := Rabs_triang _ _). unfold ps in Ex. lra. }
  assert (Xf : Rabs (exact_sum l') <= f + D).
  { replace (exact_sum l') with ((exact_sum l' - exactly (exact_sum terms)) + exactly (exact_sum terms)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  assert (Sl : size l' <= total bs + D) by (generalize (total_le _ _ Fl); unfold size; lra).
  assert (Wl : worst (cap l') (Rabs (exact_sum l')) (map magnitude l') <= worst c f bs + INR (n + 1) * D).
  { apply Rle_trans with (1 := worst_le _ _ _ _ _ (Rle_refl _) Fl).
    assert (K := worst_shift c (cap l') f (Rabs (exact_sum l')) magnitudes larger D Fg ltac:(lra) ltac:(lra)
      ltac:(unfold cap; lra) Xf).
    assert (Q := worst_le c f f _ _ (Rle_refl f) Hbs).
    assert (Lm : length magnitudes = (n + 1)%nat) by (unfold magnitudes; rewrite app_length, map_length; reflexivity).
    rewrite Lm in K. lra. }
  assert (Ge := in_range_error zs l' v Hzs Hs Hr (n + 2) ltac:(rewrite Ll; lia)).
  assert (Ch := charge_folded n (n + 2) (worst c f bs) (total bs) V ltac:(lia) Hn T0 V0 (conj W0 W1)). fold D in Ch. cbv zeta in Ch.
  assert (Hn2 : INR (n + 2) * u <= INR (n + 12) * u) by (apply Rmult_le_compat_r; [lra|apply le_INR; lia]).
  fold n in Hn. destruct (power_near (n + 2) (n + 2) ltac:(lia) ltac:(lra)) as [_ P2]. assert (P1 := pow_1u (n + 2)).
  assert (F0 : 0 <= eta * flushes l') by (apply Rmult_le_pos; [lra|apply flushes_pos]).
  assert (K1 : (1 + u) ^ (n + 2) * (eta * flushes l') <= 2 * (eta * flushes l')) by (apply Rmult_le_compat_r; lra).
  assert (K2 : (1 + u) ^ (n + 2) * (u * (worst (cap l') (Rabs (exact_sum l')) (map magnitude l') + size l')) <=
               (1 + u) ^ (n + 2) * (u * (worst c f bs + INR (n + 1) * D + (total bs + D)))).
  { apply Rmult_le_compat_l; [lra|]. apply Rmult_le_compat_l; lra. }
  replace (v - exactly (exact_sum terms)) with ((v - exact_sum l') + (exact_sum l' - exactly (exact_sum terms))) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rmult_plus_distr_l in Ge. lra.
Qed.
End Parameters.
